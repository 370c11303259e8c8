-- Cancel every step that has not started. Running steps are asked to stop, as with Oban's own cancellation, and are not
-- retried. Returns the workflows that were running.
CREATE OR REPLACE FUNCTION baton.baton_stop(workflow_ids text[])
RETURNS text[]
LANGUAGE plpgsql
SET search_path TO pg_catalog, pg_temp
AS $function$
#variable_conflict use_column
DECLARE
    stopped text[];
    ended bigint[];
    notified bigint;
BEGIN
    PERFORM 1 FROM baton.workflow_nodes WHERE workflow_id = ANY(workflow_ids) ORDER BY oban_job_id FOR NO KEY UPDATE;

    WITH locked AS MATERIALIZED (
        SELECT workflow_id FROM baton.baton_workflows
        WHERE workflow_id = ANY(workflow_ids) AND outcome IS NULL
        ORDER BY workflow_id FOR NO KEY UPDATE
    ),
    changed AS (
        UPDATE baton.baton_workflows AS workflow SET stopped_at = coalesce(workflow.stopped_at, now())
        FROM locked WHERE workflow.workflow_id = locked.workflow_id
        RETURNING workflow.workflow_id
    )
    SELECT array_agg(workflow_id) INTO stopped FROM changed;

    SELECT array_agg(node.oban_job_id) INTO ended
    FROM baton.workflow_nodes AS node
    WHERE node.workflow_id = ANY(stopped)
        AND node.outcome IS NULL
        AND node.items IS NULL -- a map that has expanded ends with its children
        AND NOT EXISTS (SELECT FROM baton.oban_jobs AS job WHERE job.id = node.oban_job_id AND job.state = 'executing');
    PERFORM baton.baton_end(ended, 'cancelled');
    PERFORM baton.baton_cancel_jobs(ended, 'BTN507: cancelled, since its workflow was');

    SELECT count(pg_notify(
        'baton.oban_signal', json_build_object('action', 'pkill', 'job_id', job.id)::text
    )) INTO notified
    FROM baton.workflow_nodes AS node
    JOIN baton.oban_jobs AS job ON job.id = node.oban_job_id
    WHERE node.workflow_id = ANY(stopped) AND job.state = 'executing';

    RETURN coalesce(stopped, '{}');
END
$function$;
