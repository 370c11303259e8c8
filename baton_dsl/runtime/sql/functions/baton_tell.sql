-- The ends of workflows that telemetry has not reported yet: of the given workflows, and of all that ended since a time, in
-- case their notification was missed. Each is returned to one caller. A workflow that is retried has another end later.
CREATE OR REPLACE FUNCTION baton.baton_tell(workflow_ids text[], since timestamptz)
RETURNS TABLE (
    workflow_id text, workflow_label text, flow_name text, outcome text, inserted_at timestamptz, settled_at timestamptz,
    counts json
)
LANGUAGE plpgsql
SET search_path TO pg_catalog, pg_temp
SET lock_timeout = '500ms'
AS $function$
#variable_conflict use_column
BEGIN
    RETURN QUERY
    WITH named AS MATERIALIZED (
        SELECT workflow_id FROM baton.baton_workflows
        WHERE workflow_id = ANY(workflow_ids) AND settled_at IS NOT NULL AND told_at IS DISTINCT FROM settled_at
        FOR NO KEY UPDATE SKIP LOCKED
    ),
    missed AS MATERIALIZED (
        SELECT workflow_id FROM baton.baton_workflows
        WHERE settled_at >= since AND told_at IS DISTINCT FROM settled_at
        FOR NO KEY UPDATE SKIP LOCKED
    ),
    told AS (
        UPDATE baton.baton_workflows SET told_at = settled_at
        WHERE workflow_id = ANY(ARRAY(SELECT workflow_id FROM named UNION SELECT workflow_id FROM missed))
        RETURNING *
    )
    SELECT
        told.workflow_id,
        told.workflow_label,
        told.flow_name,
        told.outcome,
        told.inserted_at,
        told.settled_at,
        (
            SELECT json_object_agg(nodes.outcome, nodes.count)
            FROM (
                SELECT outcome, count(*) AS count
                FROM baton.workflow_nodes WHERE workflow_id = told.workflow_id AND map_id IS NULL GROUP BY outcome
            ) AS nodes
        )
    FROM told
    ORDER BY told.settled_at;
END
$function$;
