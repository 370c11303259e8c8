-- Retry workflows, from a step or (NULL) all failed steps. Each step that runs again after earlier attempts gets this number
-- of further attempts; NULL means those it has left, at least one. Older code calls `baton_retry` and `baton_retry_from`
-- directly.
--
-- Returns the ids of the workflows, the number of these steps, and the least and largest number of attempts that they get.
CREATE OR REPLACE FUNCTION baton.baton_retry_with(workflow_ids text[], step text, attempts integer)
RETURNS jsonb
LANGUAGE plpgsql
SET search_path TO pg_catalog, pg_temp
AS $function$
#variable_conflict use_column
DECLARE
    before bigint[];
    retried text[];
    told jsonb;
BEGIN
    PERFORM 1 FROM baton.workflow_nodes WHERE workflow_id = ANY(workflow_ids) ORDER BY oban_job_id FOR NO KEY UPDATE;
    IF step IS NULL THEN
        before := ARRAY(
            SELECT oban_job_id
            FROM baton.workflow_nodes
            WHERE workflow_id = ANY(workflow_ids) AND outcome IN ('cancelled', 'discarded')
        );
        retried := baton.baton_retry(workflow_ids);
    ELSE
        before := ARRAY(SELECT behind.id FROM baton.baton_behind(workflow_ids, step) AS behind WHERE behind.is_whole);
        retried := baton.baton_retry_from(workflow_ids, step);
    END IF;

    -- Our triggers do not check this column. Nobody has fetched the jobs, because the retry is not committed yet.
    WITH again AS (
        SELECT job.id, CASE
                WHEN attempts IS NULL THEN job.max_attempts
                ELSE least(job.attempt + attempts, 32767)
            END AS most
        FROM baton.oban_jobs AS job
        JOIN baton.workflow_nodes AS node ON node.oban_job_id = job.id
        WHERE job.id = ANY(before) AND node.workflow_id = ANY(retried) AND node.outcome IS NULL AND job.attempt > 0
    ), given AS (
        UPDATE baton.oban_jobs AS job
        SET max_attempts = again.most
        FROM again
        WHERE job.id = again.id AND job.max_attempts <> again.most
    )
    SELECT jsonb_build_object(
        'ids', to_jsonb(retried),
        'steps', count(*),
        'fewest', coalesce(min(again.most - job.attempt), 0),
        'most', coalesce(max(again.most - job.attempt), 0)
    ) INTO told
    FROM again
    JOIN baton.oban_jobs AS job ON job.id = again.id;
    RETURN told;
END
$function$;
