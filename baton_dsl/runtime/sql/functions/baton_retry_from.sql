-- Run a step of that name, or an item of one, and everything downstream again, completed or not. Their results are deleted;
-- all others stay, and other upstreams that prevent a node from running still do. A workflow in which one of these nodes
-- runs, or has lost its job, is not changed: a running step would pass on a result that it made from deleted ones.
CREATE OR REPLACE FUNCTION baton.baton_retry_from(workflow_ids text[], step text)
RETURNS text[]
LANGUAGE plpgsql
SET search_path TO pg_catalog, pg_temp
SET enable_hashjoin = off -- the walk through the graph looks up a few nodes at a time, by their keys
SET enable_mergejoin = off
AS $function$
#variable_conflict use_column
DECLARE
    again bigint[];
    children bigint[];
    maps bigint[];
    retried text[];
    marked text; -- tells our triggers that we know of the change
BEGIN
    PERFORM 1 FROM baton.workflow_nodes WHERE workflow_id = ANY(workflow_ids) ORDER BY oban_job_id FOR NO KEY UPDATE;

    SELECT array_agg(behind.id ORDER BY behind.id) FILTER (WHERE behind.is_whole),
        coalesce(array_agg(behind.id) FILTER (WHERE behind.is_made_anew), '{}'),
        coalesce(array_agg(behind.id) FILTER (WHERE NOT behind.is_whole AND NOT behind.is_made_anew), '{}')
    INTO again, children, maps
    FROM baton.baton_behind(workflow_ids, step) AS behind;

    -- From now on, no job of it is fetched; the next statement sees those that were fetched before.
    PERFORM 1 FROM baton.oban_jobs WHERE id = ANY(again || children) ORDER BY id FOR NO KEY UPDATE;

    WITH held AS (
        SELECT node.workflow_id
        FROM baton.workflow_nodes AS node
        LEFT JOIN baton.oban_jobs AS job ON job.id = node.oban_job_id
        WHERE node.oban_job_id = ANY(again || children)
        GROUP BY node.workflow_id
        HAVING bool_or(
            (job.id IS NULL AND NOT node.is_map AND node.oban_job_id = ANY(again)) OR job.state = 'executing'
        )
    )
    SELECT array_agg(DISTINCT node.workflow_id ORDER BY node.workflow_id) INTO retried
    FROM baton.workflow_nodes AS node
    WHERE node.oban_job_id = ANY(again) AND node.workflow_id NOT IN (SELECT held.workflow_id FROM held);

    -- Let maps expand again.
    SELECT coalesce(array_agg(oban_job_id), '{}') INTO children
    FROM baton.workflow_nodes WHERE oban_job_id = ANY(children) AND workflow_id = ANY(retried);
    DELETE FROM baton.baton_checkpoints
    WHERE oban_job_id = ANY(children) OR oban_job_id IN (
        SELECT oban_job_id FROM baton.workflow_nodes WHERE oban_job_id = ANY(again) AND workflow_id = ANY(retried)
    );
    marked := set_config('baton_dsl.settling', 'on', true);
    DELETE FROM baton.oban_jobs WHERE id = ANY(children);
    marked := set_config('baton_dsl.settling', 'off', true);
    DELETE FROM baton.workflow_nodes WHERE oban_job_id = ANY(children);
    UPDATE baton.workflow_nodes AS node
    SET downstreams = ARRAY(SELECT id FROM unnest(node.downstreams) AS below(id) WHERE id <> ALL(children))
    WHERE node.workflow_id = ANY(retried) AND node.downstreams && children;

    -- Treat the nodes as if an upstream had cancelled them: baton_revive then activates those that can run.
    UPDATE baton.workflow_nodes
    SET outcome = 'cancelled', by_upstream = true, result = NULL, reason = NULL, items = NULL, in_flight = NULL,
        updated_at = now()
    WHERE oban_job_id = ANY(again) AND workflow_id = ANY(retried);
    -- A map with such a child becomes active again too.
    UPDATE baton.workflow_nodes
    SET outcome = 'cancelled', by_upstream = true, reason = NULL, updated_at = now()
    WHERE oban_job_id = ANY(maps) AND workflow_id = ANY(retried);

    PERFORM baton.baton_rearm(ARRAY(
        SELECT oban_job_id FROM baton.workflow_nodes WHERE oban_job_id = ANY(again) AND workflow_id = ANY(retried)
    ));

    PERFORM baton.baton_revive(given.id) FROM unnest(retried) AS given(id);
    RETURN coalesce(retried, '{}');
END
$function$;
