-- Run cancelled and discarded nodes again if their jobs still exist. Stored results stay.
CREATE OR REPLACE FUNCTION baton.baton_retry(workflow_ids text[])
RETURNS text[]
LANGUAGE plpgsql
SET search_path TO pg_catalog, pg_temp
AS $function$
#variable_conflict use_column
DECLARE
    retried text[];
BEGIN
    PERFORM 1 FROM baton.workflow_nodes WHERE workflow_id = ANY(workflow_ids) ORDER BY oban_job_id FOR NO KEY UPDATE;

    SELECT array_agg(DISTINCT node.workflow_id ORDER BY node.workflow_id) INTO retried
    FROM baton.workflow_nodes AS node
    LEFT JOIN baton.oban_jobs AS job ON job.id = node.oban_job_id
    LEFT JOIN baton.workflow_nodes AS map ON map.oban_job_id = node.map_id
    WHERE node.workflow_id = ANY(workflow_ids)
        AND node.outcome IN ('cancelled', 'discarded')
        AND (job.id IS NOT NULL OR (node.is_map AND node.items IS NULL))
        AND map.outcome IS DISTINCT FROM 'completed'; -- it completed without these items

    -- A map that did not expand has no job whose state could show that it may run again, so it is treated as if an
    -- upstream had cancelled it.
    UPDATE baton.workflow_nodes SET by_upstream = true
    WHERE workflow_id = ANY(retried) AND is_map AND items IS NULL AND outcome IN ('cancelled', 'discarded');

    PERFORM baton.baton_rearm(ARRAY(
        SELECT node.oban_job_id
        FROM baton.workflow_nodes AS node
        JOIN baton.oban_jobs AS job ON job.id = node.oban_job_id
        LEFT JOIN baton.workflow_nodes AS map ON map.oban_job_id = node.map_id
        WHERE node.workflow_id = ANY(retried)
            AND node.outcome IN ('cancelled', 'discarded')
            AND map.outcome IS DISTINCT FROM 'completed'
            AND job.state IN ('completed', 'cancelled', 'discarded')
    ));

    PERFORM baton.baton_revive(given.id) FROM unnest(retried) AS given(id);
    RETURN coalesce(retried, '{}');
END
$function$;
