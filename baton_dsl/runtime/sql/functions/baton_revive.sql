-- Update a workflow after cancelled or discarded jobs were retried: their nodes become active again, and so do nodes that
-- were cancelled only because of them. The retry of a job whose upstream is still cancelled or discarded is undone. A
-- completed node stays settled.
--
-- One call handles all jobs of the workflow. It locks all of its nodes, because the result depends on the whole graph, and
-- retries are rare.
CREATE OR REPLACE FUNCTION baton.baton_revive(id text)
RETURNS void
LANGUAGE plpgsql
SET search_path TO pg_catalog, pg_temp
SET enable_hashjoin = off -- the walk through the graph looks up a few nodes at a time, by their keys
SET enable_mergejoin = off
AS $function$
#variable_conflict use_column
DECLARE
    workflow text := id;
    was_settled boolean;
    doomed bigint[];
    alive bigint[] := '{}';
    more bigint[];
    followed bigint[];
    marked text; -- tells our triggers that we know of the change
BEGIN
    PERFORM 1 FROM baton.workflow_nodes WHERE workflow_id = workflow ORDER BY oban_job_id FOR NO KEY UPDATE;

    was_settled := (SELECT outcome IS NOT NULL FROM baton.baton_workflows WHERE workflow_id = workflow);

    -- A map that has expanded is active while a child is, and a node downstream of it may be a child of another map. So this
    -- is repeated until no more maps become active.
    LOOP
        SELECT found.doomed, found.revived INTO doomed, more FROM baton.baton_doomed(workflow, alive) AS found;
        EXIT WHEN more IS NULL;
        alive := alive || more;
    END LOOP;

    UPDATE baton.workflow_nodes SET outcome = 'cancelled', by_upstream = true WHERE oban_job_id = ANY(doomed);
    PERFORM baton.baton_cancel_jobs(doomed, 'BTN507: cancelled again, since an upstream is cancelled or discarded still');

    UPDATE baton.workflow_nodes AS node
    SET outcome = NULL,
        by_upstream = false,
        reason = NULL,
        held = CASE WHEN node.held IS NOT NULL THEN true END,
        updated_at = now()
    FROM baton.workflow_nodes AS same
    LEFT JOIN baton.oban_jobs AS job ON job.id = same.oban_job_id
    WHERE same.workflow_id = workflow
        AND same.outcome IN ('cancelled', 'discarded')
        AND node.oban_job_id = same.oban_job_id
        AND CASE
            WHEN same.is_map THEN same.by_upstream OR same.oban_job_id = ANY(alive)
            ELSE job.id IS NOT NULL
                AND (same.by_upstream OR job.state NOT IN ('completed', 'cancelled', 'discarded'))
        END
        AND NOT EXISTS (SELECT FROM unnest(doomed) AS reached(id) WHERE reached.id = node.oban_job_id);

    PERFORM baton.baton_recount(workflow);

    IF NOT was_settled AND EXISTS (SELECT FROM baton.baton_workflows WHERE workflow_id = workflow AND outcome IS NOT NULL) THEN
        PERFORM baton.baton_announce(ARRAY[workflow]);
    END IF;

    marked := set_config('baton_dsl.settling', 'on', true);
    UPDATE baton.oban_jobs AS job
    SET state = 'suspended',
        max_attempts = greatest(job.max_attempts, job.attempt + 1),
        meta = job.meta - 'rescued',
        completed_at = NULL,
        cancelled_at = NULL,
        discarded_at = NULL
    FROM baton.workflow_nodes AS node
    WHERE node.workflow_id = workflow
        AND node.outcome IS NULL
        AND job.id = node.oban_job_id
        AND (
            job.state IN ('completed', 'cancelled', 'discarded')
            OR (node.pending > 0 AND job.state IN ('scheduled', 'available', 'retryable'))
        );
    marked := set_config('baton_dsl.settling', 'off', true);

    UPDATE baton.baton_workflows SET stopped_at = NULL WHERE workflow_id = workflow;

    -- An activated node may need the result of a skipped node.
    followed := baton.baton_follow(ARRAY(
        SELECT oban_job_id FROM baton.workflow_nodes WHERE workflow_id = workflow AND outcome = 'skipped'
    ));
    PERFORM baton.baton_start(ARRAY[workflow], followed);
END
$function$;
