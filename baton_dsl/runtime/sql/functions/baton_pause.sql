-- Pause workflows: no step starts until `baton_resume`. Running steps continue.
CREATE OR REPLACE FUNCTION baton.baton_pause(workflow_ids text[])
RETURNS text[]
LANGUAGE plpgsql
SET search_path TO pg_catalog, pg_temp
AS $function$
#variable_conflict use_column
DECLARE
    paused text[];
    marked text; -- tells our triggers that we know of the change
BEGIN
    PERFORM 1 FROM baton.workflow_nodes WHERE workflow_id = ANY(workflow_ids) ORDER BY oban_job_id FOR NO KEY UPDATE;

    WITH changed AS (
        UPDATE baton.baton_workflows AS workflow SET paused_at = now()
        WHERE workflow.workflow_id = ANY(workflow_ids) AND workflow.outcome IS NULL AND workflow.paused_at IS NULL
        RETURNING workflow.workflow_id
    )
    SELECT array_agg(workflow_id) INTO paused FROM changed;

    -- A pause adds one to `pending`, so that no other code has to know about it. A map that has expanded is not changed: it
    -- ends with its items, also during a pause.
    UPDATE baton.workflow_nodes SET pending = pending + 1
    WHERE workflow_id = ANY(paused) AND outcome IS NULL AND items IS NULL;

    marked := set_config('baton_dsl.settling', 'on', true);
    UPDATE baton.oban_jobs AS job SET state = 'suspended'
    FROM baton.workflow_nodes AS node
    WHERE node.workflow_id = ANY(paused)
        AND node.outcome IS NULL
        AND job.id = node.oban_job_id
        AND job.state IN ('scheduled', 'available', 'retryable');
    marked := set_config('baton_dsl.settling', 'off', true);
    RETURN coalesce(paused, '{}');
END
$function$;
