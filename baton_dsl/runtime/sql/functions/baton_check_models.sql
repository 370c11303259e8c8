-- Raise an error for a retry with other models if a named step does not run again.
CREATE OR REPLACE FUNCTION baton.baton_check_models(workflow text, models json)
RETURNS void
LANGUAGE plpgsql
SET search_path TO pg_catalog, pg_temp
AS $function$
DECLARE
    left_alone text;
BEGIN
    SELECT string_agg('"' || chosen.key || '"', ', ' ORDER BY chosen.key) INTO left_alone
    FROM json_each_text(models) AS chosen
    WHERE NOT EXISTS (
        SELECT
        FROM baton.workflow_nodes AS node
        LEFT JOIN baton.oban_jobs AS job ON job.id = node.oban_job_id
        WHERE node.workflow_id = workflow AND node.step_name = chosen.key
            AND node.outcome IS NULL AND job.state IS DISTINCT FROM 'executing'
    ) AND NOT EXISTS ( -- an item that does not exist yet
        SELECT
        FROM baton.workflow_nodes AS node
        CROSS JOIN LATERAL baton.baton_models_of(node.oban_job_id, models) AS model
        WHERE node.workflow_id = workflow AND node.outcome IS NULL
            AND node.parameters = ARRAY['workflow_model'] AND node.is_map
            AND node.step_name || '[' || model.place - 1 || ']' = chosen.key AND model.is_chosen
    );
    IF left_alone IS NOT NULL THEN
        RAISE EXCEPTION USING ERRCODE = 'BT415', MESSAGE = 'workflow "' || workflow
            || '" can''t be retried with another model for ' || left_alone || ': it does not run again';
    END IF;
END
$function$;
