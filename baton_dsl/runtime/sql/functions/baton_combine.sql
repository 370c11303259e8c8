-- What each item of a map takes: a row for each item, with the node and the value of each mapped parameter. The node is 0 if
-- the item comes from a collection; the value is NULL if it comes from a node.
CREATE OR REPLACE FUNCTION baton.baton_combine(map_ids bigint[])
RETURNS TABLE (map_id bigint, number bigint, node_ids bigint[], items json[])
LANGUAGE sql
STABLE
AS $function$
    WITH RECURSIVE collection AS MATERIALIZED (
        SELECT * FROM baton.baton_collections(map_ids)
    ),
    element AS MATERIALIZED ( -- the items of a collection, or the children of another map
        SELECT collection.map_id, collection.parameter, collection.size, entry.number - 1 AS number,
            0::bigint AS node_id, entry.value
        FROM collection
        CROSS JOIN LATERAL baton.baton_entries(collection.whole) AS entry
        WHERE NOT collection.of_map
        UNION ALL
        SELECT collection.map_id, collection.parameter, collection.size, child.item_index, child.oban_job_id, NULL
        FROM collection
        CROSS JOIN LATERAL (
            SELECT * FROM baton.workflow_nodes WHERE workflow_nodes.map_id = collection.source_id OFFSET 0
        ) AS child
        WHERE collection.of_map
    ),
    map AS MATERIALIZED (
        SELECT given.id, cardinality(found.sources) AS parameters,
            coalesce(root.mapping ->> 'combine', 'zip') = 'zip' AS is_zip
        FROM unnest(map_ids) AS given(id)
        CROSS JOIN LATERAL (SELECT * FROM baton.workflow_nodes WHERE oban_job_id = given.id OFFSET 0) AS found
        CROSS JOIN LATERAL (SELECT * FROM baton.workflow_nodes WHERE oban_job_id = found.root_id OFFSET 0) AS root
    ),
    combined(map_id, parameter, number, node_ids, items) AS ( -- adds one parameter in each iteration
        SELECT element.map_id, 1, element.number, ARRAY[element.node_id], ARRAY[element.value]
        FROM element WHERE element.parameter = 1
        UNION ALL
        SELECT combined.map_id, combined.parameter + 1,
            CASE WHEN map.is_zip THEN combined.number ELSE combined.number * element.size + element.number END,
            combined.node_ids || element.node_id,
            combined.items || element.value
        FROM combined
        JOIN map ON map.id = combined.map_id AND combined.parameter < map.parameters
        JOIN element ON element.map_id = combined.map_id AND element.parameter = combined.parameter + 1
            AND (NOT map.is_zip OR element.number = combined.number)
    )
    SELECT combined.map_id, combined.number, combined.node_ids, combined.items
    FROM combined
    JOIN map ON map.id = combined.map_id AND combined.parameter = map.parameters
$function$;
