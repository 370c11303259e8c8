-- The models of a step of several models, in order, after a change: `models` has new models by the names of items. An item
-- that runs or has ended keeps its model.
CREATE OR REPLACE FUNCTION baton.baton_models_of(several bigint, models json)
RETURNS TABLE (place bigint, name text, is_chosen boolean)
LANGUAGE sql
STABLE
SET search_path TO pg_catalog, pg_temp
AS $function$
    SELECT old.place,
        CASE WHEN choice.is_valid THEN choice.name ELSE old.name END,
        choice.is_valid
    FROM baton.workflow_nodes AS map
    CROSS JOIN LATERAL json_array_elements_text(map.item -> 0) WITH ORDINALITY AS old(name, place)
    CROSS JOIN LATERAL (SELECT map.step_name || '[' || old.place - 1 || ']' AS name) AS item
    LEFT JOIN baton.workflow_nodes AS child ON child.workflow_id = map.workflow_id AND child.step_name = item.name
    LEFT JOIN baton.oban_jobs AS job ON job.id = child.oban_job_id
    CROSS JOIN LATERAL (
        SELECT models ->> item.name AS name,
            models ->> item.name IS NOT NULL
                AND (child.oban_job_id IS NULL OR (child.outcome IS NULL AND job.state <> 'executing')) AS is_valid
    ) AS choice
    WHERE map.oban_job_id = several
$function$;
