-- What an operator does with whole workflows. Each function takes any number of them, and leaves alone those that it
-- does not apply to. Workflows are taken in one order, so that two operators wait for each other.

-- Cancel all that has not started. What runs goes on, and is not tried again. Returns the workflows that were running,
-- and tells the running jobs, as Oban's own cancellation does.
CREATE OR REPLACE FUNCTION baton_stop(workflow_ids text[])
RETURNS text[]
LANGUAGE plpgsql
SET search_path FROM CURRENT
SET baton.settling = 'on'
AS $function$
#variable_conflict use_column
DECLARE
    stopped text[];
    ended bigint[];
    notified bigint;
BEGIN
    PERFORM 1 FROM workflow_nodes WHERE workflow_id = ANY(workflow_ids) ORDER BY oban_job_id FOR NO KEY UPDATE;

    WITH locked AS MATERIALIZED (
        SELECT workflow_id FROM baton_workflows
        WHERE workflow_id = ANY(workflow_ids) AND outcome IS NULL
        ORDER BY workflow_id FOR NO KEY UPDATE
    ),
    changed AS (
        UPDATE baton_workflows AS workflow SET stopped_at = coalesce(workflow.stopped_at, now())
        FROM locked WHERE workflow.workflow_id = locked.workflow_id
        RETURNING workflow.workflow_id
    )
    SELECT array_agg(workflow_id) INTO stopped FROM changed;

    SELECT array_agg(node.oban_job_id) INTO ended
    FROM workflow_nodes AS node
    WHERE node.workflow_id = ANY(stopped)
        AND node.outcome IS NULL
        AND node.items IS NULL -- a map that has expanded ends with its children
        AND NOT EXISTS (SELECT FROM oban_jobs AS job WHERE job.id = node.oban_job_id AND job.state = 'executing');
    PERFORM baton_end(ended, 'cancelled');
    PERFORM baton_cancel_jobs(ended, 'BTN507: cancelled, since its workflow was');

    SELECT count(pg_notify(
        current_schema() || '.oban_signal', json_build_object('action', 'pkill', 'job_id', job.id)::text
    )) INTO notified
    FROM workflow_nodes AS node
    JOIN oban_jobs AS job ON job.id = node.oban_job_id
    WHERE node.workflow_id = ANY(stopped) AND job.state = 'executing';

    RETURN coalesce(stopped, '{}');
END
$function$;

-- Let jobs that have ended be attempted once more, as soon as their nodes wait for nothing.
CREATE OR REPLACE FUNCTION baton_rearm(job_ids bigint[])
RETURNS void
LANGUAGE plpgsql
AS $function$
BEGIN
    UPDATE oban_jobs AS job
    SET state = 'suspended',
        max_attempts = greatest(job.max_attempts, job.attempt + 1),
        -- a pause before the next attempt is over; a start in the future that the step was given is not
        scheduled_at = CASE
            WHEN job.attempt > 0 THEN least(job.scheduled_at, timezone('UTC', now()))
            ELSE job.scheduled_at
        END,
        completed_at = NULL,
        cancelled_at = NULL,
        discarded_at = NULL
    WHERE job.id = ANY(job_ids);
END
$function$;

-- Let all run again that was cancelled or discarded, as far as its job is still there. Results that are stored stay.
CREATE OR REPLACE FUNCTION baton_retry(workflow_ids text[])
RETURNS text[]
LANGUAGE plpgsql
SET search_path FROM CURRENT
SET baton.settling = 'on'
AS $function$
#variable_conflict use_column
DECLARE
    retried text[];
BEGIN
    PERFORM 1 FROM workflow_nodes WHERE workflow_id = ANY(workflow_ids) ORDER BY oban_job_id FOR NO KEY UPDATE;

    SELECT array_agg(DISTINCT node.workflow_id ORDER BY node.workflow_id) INTO retried
    FROM workflow_nodes AS node
    LEFT JOIN oban_jobs AS job ON job.id = node.oban_job_id
    LEFT JOIN workflow_nodes AS map ON map.oban_job_id = node.map_id
    WHERE node.workflow_id = ANY(workflow_ids)
        AND node.outcome IN ('cancelled', 'discarded')
        AND (job.id IS NOT NULL OR (node.is_map AND node.items IS NULL))
        AND map.outcome IS DISTINCT FROM 'completed'; -- it could do without these items

    -- A map that was never made has no job to tell that it may live: it does as if only an upstream had kept it.
    UPDATE workflow_nodes SET by_upstream = true
    WHERE workflow_id = ANY(retried) AND is_map AND items IS NULL AND outcome IN ('cancelled', 'discarded');

    PERFORM baton_rearm(ARRAY(
        SELECT node.oban_job_id
        FROM workflow_nodes AS node
        JOIN oban_jobs AS job ON job.id = node.oban_job_id
        LEFT JOIN workflow_nodes AS map ON map.oban_job_id = node.map_id
        WHERE node.workflow_id = ANY(retried)
            AND node.outcome IN ('cancelled', 'discarded')
            AND map.outcome IS DISTINCT FROM 'completed'
            AND job.state IN ('completed', 'cancelled', 'discarded')
    ));

    PERFORM baton_revive(given.id) FROM unnest(retried) AS given(id);
    RETURN coalesce(retried, '{}');
END
$function$;

-- Let a step of that name run again, and all behind it, completed or not: their results are forgotten, all others stay,
-- and what keeps a node from running outside of them keeps it still. A workflow of which one of these runs, or has lost
-- its job, is left alone: a running step would hand on what it made of forgotten results.
CREATE OR REPLACE FUNCTION baton_retry_from(workflow_ids text[], step text)
RETURNS text[]
LANGUAGE plpgsql
SET search_path FROM CURRENT
SET baton.settling = 'on'
SET enable_hashjoin = off -- the walk through the graph looks up a few nodes a step, by their keys
SET enable_mergejoin = off
AS $function$
#variable_conflict use_column
DECLARE
    again bigint[];
    children bigint[];
    retried text[];
BEGIN
    PERFORM 1 FROM workflow_nodes WHERE workflow_id = ANY(workflow_ids) ORDER BY oban_job_id FOR NO KEY UPDATE;

    WITH RECURSIVE reached(id) AS (
        SELECT oban_job_id
        FROM workflow_nodes WHERE workflow_id = ANY(workflow_ids) AND step_name = step AND map_id IS NULL
        UNION
        SELECT below.id
        FROM reached
        CROSS JOIN LATERAL (SELECT downstreams FROM workflow_nodes WHERE oban_job_id = reached.id OFFSET 0) AS node
        CROSS JOIN unnest(node.downstreams) AS below(id)
    )
    SELECT array_agg(node.oban_job_id ORDER BY node.oban_job_id) INTO again
    FROM reached
    JOIN workflow_nodes AS node ON node.oban_job_id = reached.id
    WHERE node.map_id IS NULL; -- of a map, all children go with it

    SELECT coalesce(array_agg(oban_job_id), '{}') INTO children
    FROM workflow_nodes WHERE workflow_id = ANY(workflow_ids) AND root_id = ANY(again) AND map_id IS NOT NULL;

    -- Nothing of it is fetched any more; what was, is seen by the next statement.
    PERFORM 1 FROM oban_jobs WHERE id = ANY(again || children) ORDER BY id FOR NO KEY UPDATE;

    WITH held AS (
        SELECT node.workflow_id
        FROM workflow_nodes AS node
        LEFT JOIN oban_jobs AS job ON job.id = node.oban_job_id
        WHERE node.oban_job_id = ANY(again || children)
        GROUP BY node.workflow_id
        HAVING bool_or((job.id IS NULL AND NOT node.is_map AND node.map_id IS NULL) OR job.state = 'executing')
    )
    SELECT array_agg(DISTINCT node.workflow_id ORDER BY node.workflow_id) INTO retried
    FROM workflow_nodes AS node
    WHERE node.oban_job_id = ANY(again) AND node.workflow_id NOT IN (SELECT held.workflow_id FROM held);

    -- Maps are expanded anew.
    SELECT coalesce(array_agg(oban_job_id), '{}') INTO children
    FROM workflow_nodes WHERE oban_job_id = ANY(children) AND workflow_id = ANY(retried);
    DELETE FROM oban_jobs WHERE id = ANY(children);
    DELETE FROM workflow_nodes WHERE oban_job_id = ANY(children);
    UPDATE workflow_nodes AS node
    SET downstreams = ARRAY(SELECT id FROM unnest(node.downstreams) AS below(id) WHERE id <> ALL(children))
    WHERE node.workflow_id = ANY(retried) AND node.downstreams && children;

    -- As if an upstream had kept them from running until now: what can live does so in baton_revive.
    UPDATE workflow_nodes
    SET outcome = 'cancelled', by_upstream = true, result = NULL, reason = NULL, items = NULL, in_flight = NULL,
        updated_at = now()
    WHERE oban_job_id = ANY(again) AND workflow_id = ANY(retried);

    PERFORM baton_rearm(ARRAY(
        SELECT oban_job_id FROM workflow_nodes WHERE oban_job_id = ANY(again) AND workflow_id = ANY(retried)
    ));

    PERFORM baton_revive(given.id) FROM unnest(retried) AS given(id);
    RETURN coalesce(retried, '{}');
END
$function$;

-- Let nothing start, until `baton_resume`. What runs goes on.
CREATE OR REPLACE FUNCTION baton_pause(workflow_ids text[])
RETURNS text[]
LANGUAGE plpgsql
SET search_path FROM CURRENT
SET baton.settling = 'on'
AS $function$
#variable_conflict use_column
DECLARE
    paused text[];
BEGIN
    PERFORM 1 FROM workflow_nodes WHERE workflow_id = ANY(workflow_ids) ORDER BY oban_job_id FOR NO KEY UPDATE;

    WITH changed AS (
        UPDATE baton_workflows AS workflow SET paused_at = now()
        WHERE workflow.workflow_id = ANY(workflow_ids) AND workflow.outcome IS NULL AND workflow.paused_at IS NULL
        RETURNING workflow.workflow_id
    )
    SELECT array_agg(workflow_id) INTO paused FROM changed;

    -- To be paused is to wait for one thing more: nothing else has to know of it. A map that has expanded starts nothing:
    -- it ends with its items, in a pause too.
    UPDATE workflow_nodes SET pending = pending + 1
    WHERE workflow_id = ANY(paused) AND outcome IS NULL AND items IS NULL;

    UPDATE oban_jobs AS job SET state = 'suspended'
    FROM workflow_nodes AS node
    WHERE node.workflow_id = ANY(paused)
        AND node.outcome IS NULL
        AND job.id = node.oban_job_id
        AND job.state IN ('scheduled', 'available', 'retryable');
    RETURN coalesce(paused, '{}');
END
$function$;

-- End a pause.
CREATE OR REPLACE FUNCTION baton_resume(workflow_ids text[])
RETURNS text[]
LANGUAGE plpgsql
SET search_path FROM CURRENT
SET baton.settling = 'on'
AS $function$
#variable_conflict use_column
DECLARE
    resumed text[];
BEGIN
    PERFORM 1 FROM workflow_nodes WHERE workflow_id = ANY(workflow_ids) ORDER BY oban_job_id FOR NO KEY UPDATE;

    WITH changed AS (
        UPDATE baton_workflows AS workflow SET paused_at = NULL
        WHERE workflow.workflow_id = ANY(workflow_ids) AND workflow.paused_at IS NOT NULL
        RETURNING workflow.workflow_id
    )
    SELECT array_agg(workflow_id) INTO resumed FROM changed;

    UPDATE workflow_nodes SET pending = pending - 1
    WHERE workflow_id = ANY(resumed) AND outcome IS NULL AND items IS NULL;
    PERFORM baton_start(resumed);
    RETURN coalesce(resumed, '{}');
END
$function$;

-- Remove workflows that settled longer than `age` ago, with their results; never one that still runs. Their jobs are
-- Oban's to prune. Takes at most `most` of them.
CREATE OR REPLACE FUNCTION baton_prune(age interval, most integer)
RETURNS integer
LANGUAGE plpgsql
SET search_path FROM CURRENT
AS $function$
#variable_conflict use_column
DECLARE
    old text[];
BEGIN
    SELECT array_agg(workflow_id) INTO old
    FROM (
        SELECT workflow_id FROM baton_workflows
        WHERE settled_at < now() - age
        ORDER BY settled_at
        LIMIT most
        FOR UPDATE SKIP LOCKED
    ) AS settled;
    DELETE FROM workflow_nodes WHERE workflow_id = ANY(old);
    DELETE FROM baton_workflows WHERE workflow_id = ANY(old);
    DELETE FROM baton_flows AS flow
    WHERE flow.inserted_at < now() - age
        AND NOT EXISTS (SELECT FROM baton_workflows AS workflow WHERE workflow.fingerprint = flow.fingerprint);
    RETURN coalesce(cardinality(old), 0);
END
$function$;
