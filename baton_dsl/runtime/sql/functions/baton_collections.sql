-- The mapped values, one row for each map and parameter: how many items each has, or NULL if it is not a collection.
CREATE OR REPLACE FUNCTION baton.baton_collections(map_ids bigint[])
RETURNS TABLE (map_id bigint, parameter integer, source_id bigint, of_map boolean, whole json, size integer)
LANGUAGE sql
STABLE
AS $function$
    SELECT found.map_id, found.parameter, found.source_id, found.of_map, found.whole,
        CASE
            WHEN found.of_map THEN found.items
            WHEN json_typeof(found.whole) = 'array' THEN json_array_length(found.whole)
            WHEN json_typeof(found.whole) = 'object' THEN (SELECT count(*) FROM baton.baton_entries(found.whole))::integer
        END
    FROM (
        SELECT map.oban_job_id AS map_id, source.number::integer AS parameter, source.id AS source_id,
            coalesce(origin.is_map, false) AS of_map, origin.items,
            CASE WHEN source.id = 0 THEN map.item -> (source.number - 1)::integer ELSE origin.result END AS whole
        FROM unnest(map_ids) AS given(id)
        CROSS JOIN LATERAL (SELECT * FROM baton.workflow_nodes WHERE oban_job_id = given.id OFFSET 0) AS map
        CROSS JOIN LATERAL unnest(map.sources) WITH ORDINALITY AS source(id, number)
        LEFT JOIN LATERAL (SELECT * FROM baton.workflow_nodes WHERE oban_job_id = source.id OFFSET 0) AS origin ON true
    ) AS found
$function$;
