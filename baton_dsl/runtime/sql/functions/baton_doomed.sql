-- The nodes of a workflow that can't run again because an upstream stays cancelled or discarded (`doomed`), and the ended
-- maps that become active again with a child (`revived`). `alive` are maps that are already known to become active.
--
-- An origin is a node that ended by itself and does not run again, for example because its job is gone. A node that has not
-- settled may be reached too: an upstream that it ignored as discarded may now be cancelled. One whose job has ended or is
-- gone was changed by the same statement, and settles by itself.
CREATE OR REPLACE FUNCTION baton.baton_doomed(id text, alive bigint[], OUT doomed bigint[], OUT revived bigint[])
LANGUAGE plpgsql
STABLE
AS $function$
#variable_conflict use_column
DECLARE
    workflow text := id;
BEGIN
    WITH RECURSIVE ended AS NOT MATERIALIZED (
        SELECT node.*,
            CASE
                WHEN node.is_map THEN
                    node.outcome IS NOT NULL AND NOT node.by_upstream AND node.oban_job_id <> ALL(alive)
                ELSE job.id IS NULL OR (
                    (node.outcome IS NULL OR NOT node.by_upstream)
                    AND job.state IN ('completed', 'cancelled', 'discarded')
                )
            END AS is_origin
        FROM baton.workflow_nodes AS node
        LEFT JOIN baton.oban_jobs AS job ON job.id = node.oban_job_id
        WHERE node.outcome IS NULL OR node.outcome IN ('cancelled', 'discarded')
    ),
    reached(id) AS (
        SELECT node.oban_job_id
        FROM ended AS origin
        CROSS JOIN unnest(origin.downstreams) AS below(id)
        JOIN ended AS node ON node.oban_job_id = below.id
        WHERE origin.workflow_id = workflow
            AND origin.is_origin
            AND origin.outcome IS NOT NULL
            AND NOT node.is_origin
            AND node.items IS NULL
            AND CASE
                WHEN node.is_map AND origin.oban_job_id = ANY(node.sources) THEN origin.items IS NULL
                ELSE NOT baton.baton_permits(origin.outcome, node.ignore_cancelled, node.ignore_discarded, false)
            END
        UNION
        SELECT node.oban_job_id
        FROM reached
        JOIN baton.workflow_nodes AS above ON above.oban_job_id = reached.id
        CROSS JOIN unnest(above.downstreams) AS below(id)
        JOIN ended AS node ON node.oban_job_id = below.id
        WHERE NOT node.is_origin
            AND node.items IS NULL
            AND (NOT node.ignore_cancelled OR (node.is_map AND above.oban_job_id = ANY(node.sources)))
    ),
    living AS (
        SELECT node.map_id
        FROM ended AS node
        WHERE node.workflow_id = workflow
            AND node.map_id IS NOT NULL
            AND (node.outcome IS NULL OR NOT node.is_origin)
            AND node.oban_job_id NOT IN (SELECT reached.id FROM reached)
    )
    SELECT
        coalesce((SELECT array_agg(reached.id) FROM reached), '{}'),
        (
            SELECT array_agg(map.oban_job_id)
            FROM living
            JOIN baton.workflow_nodes AS map ON map.oban_job_id = living.map_id
            WHERE map.outcome IN ('cancelled', 'discarded') AND map.oban_job_id <> ALL(alive)
        )
    INTO doomed, revived;
END
$function$;
