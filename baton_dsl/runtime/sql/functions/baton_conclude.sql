-- Settle maps whose children have all settled: as completed if as many of them succeeded as the map requires. A skipped item
-- did not fail.
CREATE OR REPLACE FUNCTION baton.baton_conclude(map_ids bigint[])
RETURNS void
LANGUAGE plpgsql
AS $function$
BEGIN
    UPDATE baton.workflow_nodes AS map
    SET outcome = CASE
            WHEN ends.good >= ends.demanded THEN 'completed'
            WHEN ends.discarded > 0 THEN 'discarded'
            ELSE 'cancelled'
        END,
        reason = CASE
            WHEN ends.good < ends.demanded THEN
                'BTN511: ' || ends.items - ends.good || ' of ' || ends.items || ' items failed'
                || CASE WHEN ends.demanded < ends.items THEN ', ' || ends.demanded || ' must succeed' ELSE '' END
                || '; workflow.items("' || ends.step_name || '") tells why, workflow.retry() tries them again'
        END,
        updated_at = now()
    FROM (
        SELECT counts.*, root.step_name,
            CASE
                WHEN root.mapping ? 'least' THEN (root.mapping ->> 'least')::integer
                WHEN root.mapping ? 'share' THEN ceil((root.mapping ->> 'share')::numeric * counts.items)
                ELSE counts.items
            END AS demanded
        FROM (
            SELECT child.map_id,
                child.root_id,
                count(*) AS items,
                count(*) FILTER (WHERE child.outcome IN ('completed', 'skipped')) AS good,
                count(*) FILTER (WHERE child.outcome = 'discarded') AS discarded
            FROM baton.workflow_nodes AS child
            WHERE child.map_id = ANY(map_ids)
            GROUP BY child.map_id, child.root_id
        ) AS counts
        CROSS JOIN LATERAL (SELECT * FROM baton.workflow_nodes WHERE oban_job_id = counts.root_id OFFSET 0) AS root
    ) AS ends
    WHERE map.oban_job_id = ends.map_id;
END
$function$;
