-- Expand maps that wait for nothing any more. Returns
--     ended: those that have settled: discarded if they can't expand, completed if they have no items;
--   further: maps that may expand now, their children or maps over them;
--     failing: nodes that ended but did not complete, and to which the new children must react;
--     windows: roots that limit how many items run at once.
CREATE OR REPLACE FUNCTION baton.baton_expand(
    map_ids bigint[],
    OUT ended bigint[], OUT further bigint[], OUT failing bigint[], OUT windows bigint[]
)
LANGUAGE plpgsql
AS $function$
DECLARE
    refused bigint[];
    reasons text[];
    sizes jsonb;
    origins bigint[];
    bounds jsonb; -- of the items of each root that only wait for a place in its window
BEGIN
    -- Count the items first: a map that can't expand is discarded before any child is created.
    SELECT array_agg(id) FILTER (WHERE reason IS NOT NULL),
        array_agg(reason) FILTER (WHERE reason IS NOT NULL),
        array_agg(id) FILTER (WHERE reason IS NULL),
        jsonb_object_agg(id, items) FILTER (WHERE reason IS NULL)
    INTO refused, reasons, map_ids, sizes
    FROM baton.baton_measure(map_ids);

    -- Lock the children of other maps for which the new ones wait, so that none of them settles unnoticed.
    SELECT array_agg(DISTINCT source_id) INTO origins FROM baton.baton_collections(map_ids) WHERE of_map;
    IF origins IS NOT NULL THEN
        PERFORM 1 FROM baton.workflow_nodes WHERE map_id = ANY(origins) ORDER BY oban_job_id FOR NO KEY UPDATE;
    END IF;

    IF map_ids IS NOT NULL THEN
        PERFORM baton.baton_make_items(map_ids);
        PERFORM baton.baton_make_item_jobs(map_ids);
    END IF;
    IF origins IS NOT NULL THEN
        failing := baton.baton_link_items(map_ids);
    END IF;

    -- Only now, so that an item that waits for one of these is counted down exactly once when it ends.
    IF refused IS NOT NULL THEN
        UPDATE baton.workflow_nodes
        SET outcome = 'discarded', reason = reasons[array_position(refused, oban_job_id)], updated_at = now()
        WHERE oban_job_id = ANY(refused);
        ended := refused;
    END IF;
    IF map_ids IS NULL THEN
        RETURN;
    END IF;

    SELECT array_agg(oban_job_id) FILTER (WHERE is_map AND pending = 0) INTO further
    FROM baton.workflow_nodes WHERE map_id = ANY(map_ids);
    SELECT jsonb_object_agg(each.root_id, jsonb_build_array(each.first, each.last)), array_agg(each.root_id)
    INTO bounds, windows
    FROM (
        SELECT root_id, min(oban_job_id) AS first, max(oban_job_id) AS last
        FROM baton.workflow_nodes WHERE map_id = ANY(map_ids) AND held AND pending = 1 GROUP BY root_id
    ) AS each;

    WITH expanded AS (
        UPDATE baton.workflow_nodes AS map
        SET items = (sizes ->> map.oban_job_id::text)::integer,
            pending = (sizes ->> map.oban_job_id::text)::integer,
            outcome = CASE WHEN sizes ->> map.oban_job_id::text = '0' THEN 'completed' END,
            in_flight = CASE WHEN map.map_id IS NULL THEN 0 END,
            held_from = CASE WHEN map.map_id IS NULL THEN 9223372036854775807 END,
            held_to = CASE WHEN map.map_id IS NULL THEN 0 END,
            updated_at = now()
        WHERE map.oban_job_id = ANY(map_ids)
        RETURNING map.oban_job_id, map.outcome
    )
    SELECT ended || array_agg(oban_job_id) INTO ended FROM expanded WHERE outcome IS NOT NULL;
    IF bounds IS NOT NULL THEN
        PERFORM baton.baton_widen(bounds);
    END IF;

    further := further || baton.baton_count_expanded(map_ids);
END
$function$;
