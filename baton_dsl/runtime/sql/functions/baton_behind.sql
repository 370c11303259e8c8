-- The nodes that run again if the node of that name does: the node and everything downstream. A node with `is_whole` runs or
-- expands again. One with `is_made_anew` is a child of a map that expands again, and is deleted. A map with neither only
-- concludes again, because one of its children runs again.
--
-- In a map over a map, whose children correspond item by item, only the corresponding children run again.
CREATE OR REPLACE FUNCTION baton.baton_behind(workflow_ids text[], step text)
RETURNS TABLE (id bigint, is_whole boolean, is_made_anew boolean)
LANGUAGE sql
STABLE
AS $function$
    WITH RECURSIVE reached(id, is_whole) AS (
        SELECT oban_job_id, true
        FROM baton.workflow_nodes WHERE workflow_id = ANY(workflow_ids) AND step_name = step
        UNION
        SELECT next.id, next.is_whole
        FROM reached
        CROSS JOIN LATERAL (SELECT * FROM baton.workflow_nodes WHERE oban_job_id = reached.id OFFSET 0) AS node
        CROSS JOIN LATERAL (
            SELECT node.map_id AS id, false AS is_whole WHERE node.map_id IS NOT NULL
            UNION ALL
            SELECT follower.oban_job_id, true
            FROM unnest(node.downstreams) AS below(id)
            CROSS JOIN LATERAL (SELECT * FROM baton.workflow_nodes WHERE oban_job_id = below.id OFFSET 0) AS follower
            WHERE reached.is_whole
                OR NOT node.is_map
                OR follower.items IS NULL
                OR node.oban_job_id <> ALL(follower.sources)
        ) AS next
    ),
    found AS (
        SELECT reached.id, bool_or(reached.is_whole) AS is_whole FROM reached GROUP BY reached.id
    ),
    made_anew(id) AS (
        SELECT child.oban_job_id
        FROM found
        CROSS JOIN LATERAL (SELECT oban_job_id FROM baton.workflow_nodes WHERE map_id = found.id OFFSET 0) AS child
        WHERE found.is_whole
        UNION
        SELECT child.oban_job_id
        FROM made_anew
        CROSS JOIN LATERAL (SELECT oban_job_id FROM baton.workflow_nodes WHERE map_id = made_anew.id OFFSET 0) AS child
    )
    SELECT found.id, found.is_whole, false FROM found WHERE found.id NOT IN (SELECT made_anew.id FROM made_anew)
    UNION ALL
    SELECT made_anew.id, false, true FROM made_anew
$function$;
