-- As `baton_retry_with`, with other models: `models` has the new model of a step, or of an item of a step of several models.
-- For one workflow, each named step must run again; for several, workflows in which it does not run again keep their
-- models. Checkpoints of a step whose model changes are deleted.
CREATE OR REPLACE FUNCTION baton.baton_retry_models(workflow_ids text[], step text, attempts integer, models json)
RETURNS jsonb
LANGUAGE plpgsql
SET search_path TO pg_catalog, pg_temp
AS $function$
#variable_conflict use_column
DECLARE
    told jsonb;
    retried text[];
    changed bigint[];
    items bigint[];
    wrong record;
BEGIN
    told := baton.baton_retry_with(workflow_ids, step, attempts);
    retried := ARRAY(SELECT jsonb_array_elements_text(told -> 'ids'));

    WITH own AS (
        UPDATE baton.oban_jobs AS job
        SET args = jsonb_set(job.args, '{workflow_model}', to_jsonb(chosen.value))
        FROM json_each_text(models) AS chosen, baton.workflow_nodes AS node
        WHERE node.workflow_id = ANY(retried) AND node.step_name = chosen.key
            AND node.outcome IS NULL AND node.map_id IS NULL AND NOT node.is_map
            AND job.id = node.oban_job_id AND job.state <> 'executing'
            AND job.args ->> 'workflow_model' <> chosen.value
        RETURNING job.id
    )
    SELECT coalesce(array_agg(own.id), '{}') INTO changed FROM own;

    WITH map AS (
        UPDATE baton.workflow_nodes AS node
        SET mapping = jsonb_set(node.mapping, '{args,workflow_model}', to_jsonb(chosen.value))
        FROM json_each_text(models) AS chosen
        WHERE node.workflow_id = ANY(retried) AND node.step_name = chosen.key
            AND node.outcome IS NULL AND node.map_id IS NULL AND node.is_map
            AND node.mapping #>> '{args,workflow_model}' <> chosen.value
        RETURNING node.oban_job_id
    )
    SELECT coalesce(array_agg(child.oban_job_id), '{}') INTO items
    FROM map JOIN baton.workflow_nodes AS child ON child.root_id = map.oban_job_id AND child.outcome IS NULL;

    WITH own AS (
        UPDATE baton.workflow_nodes AS node
        SET item = json_build_array(chosen.value)
        FROM json_each_text(models) AS chosen, baton.oban_jobs AS job
        WHERE node.workflow_id = ANY(retried) AND node.step_name = chosen.key
            AND node.outcome IS NULL AND node.parameters = ARRAY['workflow_model'] AND NOT node.is_map
            AND job.id = node.oban_job_id AND job.state <> 'executing'
            AND node.item ->> 0 <> chosen.value
        RETURNING node.oban_job_id
    )
    SELECT changed || items || coalesce(array_agg(own.oban_job_id), '{}') INTO changed FROM own;

    -- Items that are created now or later are created from this.
    UPDATE baton.workflow_nodes AS node
    SET item = json_build_array((
        SELECT json_agg(model.name ORDER BY model.place)
        FROM baton.baton_models_of(node.oban_job_id, models) AS model
    ))
    WHERE node.workflow_id = ANY(retried) AND node.outcome IS NULL
        AND node.parameters = ARRAY['workflow_model'] AND node.is_map
        AND EXISTS (SELECT FROM baton.baton_models_of(node.oban_job_id, models) AS model WHERE model.is_chosen);

    SELECT node.workflow_id, node.step_name, model.name INTO wrong
    FROM baton.workflow_nodes AS node
    CROSS JOIN LATERAL json_array_elements_text(node.item -> 0) AS model(name)
    WHERE node.workflow_id = ANY(retried) AND node.parameters = ARRAY['workflow_model'] AND node.is_map
    GROUP BY node.workflow_id, node.step_name, model.name
    HAVING count(*) > 1;
    IF FOUND THEN
        RAISE EXCEPTION USING ERRCODE = 'BT415', MESSAGE = 'step "' || wrong.step_name || '" of workflow "'
            || wrong.workflow_id || '" would run twice with model "' || wrong.name || '"';
    END IF;

    DELETE FROM baton.baton_checkpoints WHERE oban_job_id IN (
        SELECT job.id FROM baton.oban_jobs AS job WHERE job.id = ANY(changed) AND job.state <> 'executing'
    );
    IF cardinality(workflow_ids) = 1 AND cardinality(retried) = 1 THEN
        PERFORM baton.baton_check_models(retried[1], models);
    END IF;
    RETURN told;
END
$function$;
