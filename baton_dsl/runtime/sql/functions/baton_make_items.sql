-- Insert the nodes of the children of maps: jobs, or maps of the next level.
CREATE OR REPLACE FUNCTION baton.baton_make_items(map_ids bigint[])
RETURNS void
LANGUAGE plpgsql
AS $function$
DECLARE
    job_sequence regclass := pg_get_serial_sequence('baton.oban_jobs', 'id')::regclass;
BEGIN
    WITH map AS MATERIALIZED (
        SELECT found.*, found.levels = 1 AS is_of_jobs,
            root.mapping ? 'max_concurrency' AND found.levels = 1 AS has_window
        FROM unnest(map_ids) AS given(id)
        CROSS JOIN LATERAL (SELECT * FROM baton.workflow_nodes WHERE oban_job_id = given.id OFFSET 0) AS found
        CROSS JOIN LATERAL (SELECT * FROM baton.workflow_nodes WHERE oban_job_id = found.root_id OFFSET 0) AS root
    ),
    child AS MATERIALIZED (
        SELECT nextval(job_sequence) AS id, ordered.*
        FROM ( -- ids increase with the index of the items, which are released in that order
            SELECT map.*, item.number, item.node_ids, array_to_json(item.items) AS values,
                CASE
                    WHEN map.map_id IS NULL THEN map.step_name || '[' || item.number || ']'
                    ELSE left(map.step_name, -1) || ',' || item.number || ']'
                END AS name,
                above.ids AS above_ids, above.names AS above_names, above.optional_ids,
                above.waits + map.has_window::integer AS waits
            FROM baton.baton_combine(map_ids) AS item
            JOIN map ON map.oban_job_id = item.map_id
            CROSS JOIN LATERAL baton.baton_item_waits(
                item.node_ids, map.sources, map.optional, map.is_of_jobs, map.ignore_cancelled, map.ignore_discarded
            ) AS above
            ORDER BY item.map_id, item.number
            OFFSET 0
        ) AS ordered
    )
    INSERT INTO baton.workflow_nodes (
        oban_job_id, workflow_id, workflow_label, step_name, worker, deps, upstreams, downstreams, pending,
        ignore_cancelled, ignore_discarded, optional, is_map, levels, map_id, root_id, item_index, held,
        parameters, sources, item, beside
    )
    SELECT
        child.id, child.workflow_id, child.workflow_label, child.name, child.worker,
        child.above_names, child.above_ids, '{}', child.waits,
        child.ignore_cancelled, child.ignore_discarded, child.optional_ids,
        NOT child.is_of_jobs, nullif(child.levels - 1, 0), child.oban_job_id, child.root_id, child.number,
        CASE WHEN child.has_window THEN true END,
        child.parameters, child.node_ids, child.values, child.beside
    FROM child;
END
$function$;
