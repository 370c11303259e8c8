-- How many items each map would have, and why it can't expand, if it can't: not a collection, or too many items.
CREATE OR REPLACE FUNCTION baton.baton_measure(map_ids bigint[])
RETURNS TABLE (id bigint, items numeric, reason text)
LANGUAGE sql
STABLE
AS $function$
    SELECT measured.map_id AS id, measured.items,
        CASE
            WHEN measured.unfit IS NOT NULL THEN
                'BTN509: "' || map.step_name || '" maps over what is no collection: parameter "'
                || map.parameters[measured.unfit] || '" got ' || measured.kind
                || '; let what it maps over be a list or a dict'
            WHEN measured.is_uneven THEN
                'BTN509: "' || map.step_name || '" zips collections of different lengths: ' || measured.lengths
                || '; make them equally long, or say combine="product"'
            WHEN measured.items > (root.mapping ->> 'max_items')::integer THEN
                'BTN513: "' || map.step_name || '" would have ' || measured.items || ' items, its max_items is '
                || (root.mapping ->> 'max_items') || '; raise max_items of the step, or map over fewer'
        END AS reason
    FROM (
        SELECT each.map_id,
            min(each.parameter) FILTER (WHERE each.size IS NULL) AS unfit,
            min(coalesce(json_typeof(each.whole), 'nothing')) FILTER (WHERE each.size IS NULL) AS kind,
            each.is_zip AND min(each.size) <> max(each.size) AS is_uneven,
            string_agg('"' || each.name || '" has ' || each.size, ', ' ORDER BY each.parameter) AS lengths,
            CASE
                WHEN each.is_zip OR min(each.size) = 0 THEN min(each.size)
                ELSE round(exp(sum(ln(greatest(each.size, 1)::numeric)))) -- their product
            END AS items
        FROM (
            SELECT collection.*, map.parameters[collection.parameter] AS name,
                coalesce(root.mapping ->> 'combine', 'zip') = 'zip' AS is_zip
            FROM baton.baton_collections(map_ids) AS collection
            CROSS JOIN LATERAL (SELECT * FROM baton.workflow_nodes WHERE oban_job_id = collection.map_id OFFSET 0) AS map
            CROSS JOIN LATERAL (SELECT * FROM baton.workflow_nodes WHERE oban_job_id = map.root_id OFFSET 0) AS root
        ) AS each
        GROUP BY each.map_id, each.is_zip
    ) AS measured
    CROSS JOIN LATERAL (SELECT * FROM baton.workflow_nodes WHERE oban_job_id = measured.map_id OFFSET 0) AS map
    CROSS JOIN LATERAL (SELECT * FROM baton.workflow_nodes WHERE oban_job_id = map.root_id OFFSET 0) AS root
$function$;
