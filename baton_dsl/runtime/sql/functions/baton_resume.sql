-- Resume paused workflows.
CREATE OR REPLACE FUNCTION baton.baton_resume(workflow_ids text[])
RETURNS text[]
LANGUAGE plpgsql
SET search_path TO pg_catalog, pg_temp
AS $function$
#variable_conflict use_column
DECLARE
    resumed text[];
BEGIN
    PERFORM 1 FROM baton.workflow_nodes WHERE workflow_id = ANY(workflow_ids) ORDER BY oban_job_id FOR NO KEY UPDATE;

    WITH changed AS (
        UPDATE baton.baton_workflows AS workflow SET paused_at = NULL
        WHERE workflow.workflow_id = ANY(workflow_ids) AND workflow.paused_at IS NOT NULL
        RETURNING workflow.workflow_id
    )
    SELECT array_agg(workflow_id) INTO resumed FROM changed;

    UPDATE baton.workflow_nodes SET pending = pending - 1
    WHERE workflow_id = ANY(resumed) AND outcome IS NULL AND items IS NULL;
    PERFORM baton.baton_start(resumed, NULL::bigint[]);
    RETURN coalesce(resumed, '{}');
END
$function$;
