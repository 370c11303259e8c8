-- Apply everything that follows from nodes that have just settled: count down downstream nodes, promote those that wait for
-- nothing, expand and conclude maps, and end workflows whose last node settled. `maps` are further maps that wait for
-- nothing, and `windows` are roots of maps that may have room. Returns the jobs that were claimed for `slots`.
CREATE OR REPLACE FUNCTION baton.baton_spread(
    settled bigint[], slots json DEFAULT '[]', maps bigint[] DEFAULT NULL, windows bigint[] DEFAULT NULL
)
RETURNS bigint[]
LANGUAGE plpgsql
AS $function$
DECLARE
    frontier bigint[] := settled;
    counted record;
    places jsonb;
    ready bigint[];
    ready_maps bigint[] := maps;
    waiting bigint[];
    done bigint[];
    concluded bigint[];
    expansion record;
    claimed_ids bigint[];
BEGIN
    LOOP -- one iteration, unless maps expand or conclude
        concluded := NULL;

        counted := baton.baton_count_down(frontier);
        ready := ready || counted.ready;
        ready_maps := ready_maps || counted.maps;
        windows := windows || counted.windows;
        places := counted.places;

        IF ready_maps IS NOT NULL THEN
            SELECT array_agg(oban_job_id) FILTER (WHERE items IS NULL),
                array_agg(oban_job_id) FILTER (WHERE items IS NOT NULL)
            INTO waiting, done
            FROM baton.workflow_nodes WHERE oban_job_id = ANY(ready_maps) AND outcome IS NULL;
            ready_maps := NULL;
            -- In this order, so that what a new child waits for is counted only once.
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

    -- Only now, because an item of a later iteration may come before those of an earlier one.
    IF windows IS NOT NULL THEN
        ready := ready || baton.baton_release(ARRAY(SELECT DISTINCT unnest(windows)));
    END IF;
    IF ready IS NOT NULL THEN
        claimed_ids := baton.baton_promote(ready, slots);
    END IF;

    PERFORM baton.baton_end_workflows(settled);
    RETURN claimed_ids;
END
$function$;
