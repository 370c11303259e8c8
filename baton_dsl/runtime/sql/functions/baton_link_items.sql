-- Add new items to the downstreams of the nodes that they wait for. Returns those of these nodes that have already ended
-- without completing: the consequences for the new items still have to be applied.
CREATE OR REPLACE FUNCTION baton.baton_link_items(map_ids bigint[], OUT failing bigint[])
LANGUAGE plpgsql
AS $function$
BEGIN
    UPDATE baton.workflow_nodes AS above
    SET downstreams = above.downstreams || below.ids
    FROM (
        SELECT source.id, array_agg(child.oban_job_id ORDER BY child.oban_job_id) AS ids
        FROM baton.workflow_nodes AS child
        CROSS JOIN unnest(child.upstreams) AS source(id)
        WHERE child.map_id = ANY(map_ids)
        GROUP BY source.id
    ) AS below
    WHERE above.oban_job_id = below.id;

    SELECT array_agg(DISTINCT above.oban_job_id) INTO failing
    FROM baton.workflow_nodes AS child
    CROSS JOIN unnest(child.upstreams) AS source(id)
    CROSS JOIN LATERAL (SELECT * FROM baton.workflow_nodes WHERE oban_job_id = source.id OFFSET 0) AS above
    WHERE child.map_id = ANY(map_ids) AND above.outcome IN ('cancelled', 'discarded', 'skipped');
END
$function$;
