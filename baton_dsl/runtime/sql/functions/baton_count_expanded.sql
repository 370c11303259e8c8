-- Count down the maps over maps that have just expanded. Returns those that may expand now too.
CREATE OR REPLACE FUNCTION baton.baton_count_expanded(map_ids bigint[], OUT further bigint[])
LANGUAGE plpgsql
AS $function$
DECLARE
    followers bigint[];
    fewer jsonb; -- for each map, by how many maps
BEGIN
    SELECT array_agg(counts.id ORDER BY counts.id), jsonb_object_agg(counts.id, counts.upstreams)
    INTO followers, fewer
    FROM (
        SELECT below.id, count(*) AS upstreams
        FROM baton.workflow_nodes AS map
        CROSS JOIN unnest(map.downstreams) AS below(id)
        CROSS JOIN LATERAL (SELECT * FROM baton.workflow_nodes WHERE oban_job_id = below.id OFFSET 0) AS follower
        WHERE map.oban_job_id = ANY(map_ids) AND follower.is_map AND map.oban_job_id = ANY(follower.sources)
        GROUP BY below.id
    ) AS counts;
    IF followers IS NOT NULL THEN
        PERFORM 1 FROM baton.workflow_nodes WHERE oban_job_id = ANY(followers) ORDER BY oban_job_id FOR NO KEY UPDATE;

        WITH counted AS (
            UPDATE baton.workflow_nodes
            SET pending = pending - (fewer ->> oban_job_id::text)::integer
            WHERE oban_job_id = ANY(followers) AND outcome IS NULL AND items IS NULL
            RETURNING oban_job_id, pending
        )
        SELECT array_agg(oban_job_id) INTO further FROM counted WHERE pending = 0;
    END IF;
END
$function$;
