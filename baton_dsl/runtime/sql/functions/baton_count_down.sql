-- Count down `pending` after nodes have settled: of their downstream nodes, if the outcome permits those to run, and of the
-- map that each is an item of. Returns the jobs (`ready`) and the maps (`maps`) that wait for nothing any more; the roots of
-- maps with an item that only waits for a place (`windows`); and how many places of each root are free now (`places`).
CREATE OR REPLACE FUNCTION baton.baton_count_down(
    frontier bigint[], OUT ready bigint[], OUT maps bigint[], OUT windows bigint[], OUT places jsonb
)
LANGUAGE plpgsql
AS $function$
DECLARE
    below_ids bigint[];
    fewer jsonb; -- for each node, by how many upstreams, and by how many children
    bounds jsonb; -- for each root with items that only wait for a place, the first and the last of them
BEGIN
    SELECT array_agg(counts.id ORDER BY counts.id),
        jsonb_object_agg(counts.id, jsonb_build_array(counts.upstreams, counts.children)),
        jsonb_object_agg(counts.root_id, counts.places) FILTER (WHERE counts.places > 0)
    INTO below_ids, fewer, places
    FROM (
        SELECT below.id,
            count(*) FILTER (WHERE NOT below.is_parent) AS upstreams,
            count(*) FILTER (WHERE below.is_parent) AS children,
            max(node.root_id) FILTER (WHERE below.is_parent) AS root_id,
            count(*) FILTER (WHERE below.is_parent AND NOT node.held) AS places
        FROM baton.workflow_nodes AS node
        CROSS JOIN LATERAL (
            SELECT unnest(node.downstreams), false
            UNION ALL
            SELECT node.map_id, true WHERE node.map_id IS NOT NULL
        ) AS below(id, is_parent)
        WHERE node.oban_job_id = ANY(frontier)
            AND CASE
                WHEN below.is_parent THEN true
                -- maps over an expanded map were counted down when that map expanded
                WHEN node.outcome = 'completed' AND node.items IS NULL THEN true
                ELSE (
                    SELECT NOT (follower.is_map AND node.oban_job_id = ANY(follower.sources)) AND baton.baton_permits(
                        node.outcome,
                        follower.ignore_cancelled,
                        follower.ignore_discarded,
                        follower.optional && ARRAY[node.oban_job_id, 0]
                    )
                    FROM baton.workflow_nodes AS follower WHERE follower.oban_job_id = below.id
                )
            END
        GROUP BY below.id
    ) AS counts;

    IF below_ids IS NOT NULL THEN
        PERFORM 1 FROM baton.workflow_nodes WHERE oban_job_id = ANY(below_ids) ORDER BY oban_job_id FOR NO KEY UPDATE;

        WITH counted AS (
            UPDATE baton.workflow_nodes
            SET pending = pending - (fewer -> oban_job_id::text ->> (items IS NOT NULL)::integer)::integer
            WHERE oban_job_id = ANY(below_ids) AND outcome IS NULL
            RETURNING oban_job_id, pending, is_map, held, root_id
        ),
        waiting AS (
            SELECT root_id, min(oban_job_id) AS first, max(oban_job_id) AS last
            FROM counted WHERE pending = 1 AND held GROUP BY root_id
        )
        SELECT array_agg(oban_job_id) FILTER (WHERE pending = 0 AND NOT is_map),
            array_agg(oban_job_id) FILTER (WHERE pending = 0 AND is_map),
            (SELECT jsonb_object_agg(root_id, jsonb_build_array(first, last)) FROM waiting)
        INTO ready, maps, bounds
        FROM counted;
        IF bounds IS NOT NULL THEN
            PERFORM baton.baton_widen(bounds);
            windows := ARRAY(SELECT jsonb_object_keys(bounds)::bigint);
        END IF;
    END IF;
END
$function$;
