-- What follows from nodes that have just settled: their downstreams wait for fewer, those that wait for none may run,
-- maps expand and conclude, and a workflow whose last node settled has ended. `maps` wait for nothing any more besides,
-- and `windows` are roots of maps that may have room. Returns the jobs that were claimed for `slots`.
CREATE OR REPLACE FUNCTION baton.baton_spread(
    settled bigint[], slots json DEFAULT '[]', maps bigint[] DEFAULT NULL, windows bigint[] DEFAULT NULL
)
RETURNS bigint[]
LANGUAGE plpgsql
AS $function$
DECLARE
    frontier bigint[] := settled;
    below_ids bigint[];
    fewer jsonb;
    places jsonb;
    ready bigint[];
    ready_maps bigint[] := maps;
    waiting bigint[];
    done bigint[];
    concluded bigint[];
    expansion record;
    claimed_ids bigint[];
    workflow_ids text[];
    ends jsonb;
BEGIN
    LOOP -- once, unless maps expand or conclude by it
        concluded := NULL;

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
                    -- what maps over an expanded map has been told when that was expanded
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
            )
            SELECT ready || array_agg(oban_job_id) FILTER (WHERE pending = 0 AND NOT is_map),
                ready_maps || array_agg(oban_job_id) FILTER (WHERE pending = 0 AND is_map),
                windows || array_agg(DISTINCT root_id) FILTER (WHERE pending = 1 AND held)
            INTO ready, ready_maps, windows
            FROM counted;
        END IF;

        IF ready_maps IS NOT NULL THEN
            SELECT array_agg(oban_job_id) FILTER (WHERE items IS NULL),
                array_agg(oban_job_id) FILTER (WHERE items IS NOT NULL)
            INTO waiting, done
            FROM baton.workflow_nodes WHERE oban_job_id = ANY(ready_maps) AND outcome IS NULL;
            ready_maps := NULL;
            -- In this order: what a new child waits for is counted when that concludes, not twice.
            IF waiting IS NOT NULL THEN
                expansion := baton.baton_expand(waiting);
                concluded := expansion.ended || baton.baton_follow(expansion.failing);
                ready_maps := expansion.further;
                windows := windows || expansion.windows;
            END IF;
            IF done IS NOT NULL THEN
                PERFORM baton.baton_conclude(done);
                concluded := concluded || done;
            END IF;
        END IF;

        IF places IS NOT NULL THEN
            UPDATE baton.workflow_nodes SET in_flight = in_flight - (places ->> oban_job_id::text)::integer
            WHERE oban_job_id = ANY(ARRAY(SELECT jsonb_object_keys(places)::bigint));
            windows := windows || ARRAY(SELECT jsonb_object_keys(places)::bigint);
        END IF;
        frontier := CASE WHEN concluded IS NOT NULL THEN concluded || baton.baton_follow(concluded) END;
        settled := settled || frontier;
        EXIT WHEN frontier IS NULL AND ready_maps IS NULL;
    END LOOP;

    -- Only now: an item that a later round let go may come before those of an earlier one.
    IF windows IS NOT NULL THEN
        ready := ready || baton.baton_release(ARRAY(SELECT DISTINCT unnest(windows)));
    END IF;
    IF ready IS NOT NULL THEN
        claimed_ids := baton.baton_promote(ready, slots);
    END IF;

    SELECT array_agg(counts.workflow_id ORDER BY counts.workflow_id),
        jsonb_object_agg(counts.workflow_id, jsonb_build_array(counts.nodes, counts.cancelled, counts.discarded))
    INTO workflow_ids, ends
    FROM (
        SELECT workflow_id,
            count(*) AS nodes,
            count(*) FILTER (WHERE outcome = 'cancelled') AS cancelled,
            count(*) FILTER (WHERE outcome = 'discarded') AS discarded
        FROM baton.workflow_nodes
        WHERE oban_job_id = ANY(settled) AND map_id IS NULL -- what becomes of items is their map's to tell
        GROUP BY workflow_id
    ) AS counts;

    IF cardinality(workflow_ids) > 1 THEN -- one row needs no order
        PERFORM 1 FROM baton.baton_workflows WHERE workflow_id = ANY(workflow_ids) ORDER BY workflow_id FOR NO KEY UPDATE;
    END IF;

    WITH counted AS (
        UPDATE baton.baton_workflows
        SET unsettled = unsettled - (ends -> workflow_id ->> 0)::integer,
            cancelled = cancelled + (ends -> workflow_id ->> 1)::integer,
            discarded = discarded + (ends -> workflow_id ->> 2)::integer,
            settled_at = CASE WHEN unsettled = (ends -> workflow_id ->> 0)::integer THEN now() END,
            outcome = CASE
                WHEN unsettled > (ends -> workflow_id ->> 0)::integer THEN NULL
                WHEN discarded + (ends -> workflow_id ->> 2)::integer > 0 THEN 'discarded'
                WHEN cancelled + (ends -> workflow_id ->> 1)::integer > 0 THEN 'cancelled'
                ELSE 'completed'
            END
        WHERE workflow_id = ANY(workflow_ids)
        RETURNING workflow_id, outcome
    )
    SELECT array_agg(workflow_id) INTO workflow_ids FROM counted WHERE outcome IS NOT NULL;
    IF workflow_ids IS NOT NULL THEN
        PERFORM baton.baton_announce(workflow_ids);
    END IF;
    RETURN claimed_ids;
END
$function$;
