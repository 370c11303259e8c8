-- Recount what the unsettled nodes of some workflows wait for: upstreams or a map's children, a place in a window, and the
-- end of a pause, for which an expanded map does not wait.
CREATE OR REPLACE FUNCTION baton.baton_waits(workflow_ids text[])
RETURNS TABLE (id bigint, pending integer)
LANGUAGE sql
STABLE
AS $function$
    SELECT node.oban_job_id,
        CASE
            WHEN node.items IS NULL THEN
                count(upstream.oban_job_id) FILTER (
                    WHERE CASE
                        WHEN node.is_map AND upstream.oban_job_id = ANY(node.sources) THEN
                            NOT coalesce(
                                upstream.items IS NOT NULL OR (upstream.outcome = 'completed' AND NOT upstream.is_map),
                                false
                            )
                        ELSE NOT baton.baton_permits(
                            upstream.outcome,
                            node.ignore_cancelled,
                            node.ignore_discarded,
                            node.optional && ARRAY[upstream.oban_job_id, 0]
                        )
                    END
                )
                + coalesce(node.held, false)::integer
                + (workflow.paused_at IS NOT NULL)::integer
            ELSE (
                SELECT count(*) FROM baton.workflow_nodes AS child
                WHERE child.map_id = node.oban_job_id AND child.outcome IS NULL
            )
        END::integer
    FROM baton.baton_workflows AS workflow
    JOIN baton.workflow_nodes AS node USING (workflow_id)
    LEFT JOIN LATERAL unnest(node.upstreams) AS above(id) ON true
    LEFT JOIN baton.workflow_nodes AS upstream ON upstream.oban_job_id = above.id
    WHERE workflow.workflow_id = ANY(workflow_ids) AND node.outcome IS NULL
    GROUP BY node.oban_job_id, workflow.workflow_id
$function$;
