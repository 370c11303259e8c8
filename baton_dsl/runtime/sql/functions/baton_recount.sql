-- Recount what the nodes of a workflow wait for, how many items run in each window, and how its nodes have ended.
CREATE OR REPLACE FUNCTION baton.baton_recount(id text)
RETURNS void
LANGUAGE plpgsql
AS $function$
#variable_conflict use_column
DECLARE
    workflow text := id;
BEGIN
    UPDATE baton.workflow_nodes AS node
    SET pending = waits.pending
    FROM baton.baton_waits(ARRAY[workflow]) AS waits
    WHERE node.oban_job_id = waits.id AND node.pending <> waits.pending;

    UPDATE baton.workflow_nodes AS root
    SET in_flight = (
        SELECT count(*) FROM baton.workflow_nodes AS item
        WHERE item.workflow_id = workflow AND item.root_id = root.oban_job_id AND NOT item.held AND item.outcome IS NULL
    )
    WHERE root.workflow_id = workflow AND root.in_flight IS NOT NULL AND root.mapping ? 'max_concurrency';

    UPDATE baton.baton_workflows AS workflow_row
    SET unsettled = counts.unsettled,
        cancelled = counts.cancelled,
        discarded = counts.discarded,
        outcome = CASE
            WHEN counts.unsettled > 0 THEN NULL
            WHEN counts.discarded > 0 THEN 'discarded'
            WHEN counts.cancelled > 0 THEN 'cancelled'
            ELSE 'completed'
        END,
        settled_at = CASE WHEN counts.unsettled = 0 THEN coalesce(workflow_row.settled_at, now()) END
    FROM (
        SELECT (count(*) FILTER (WHERE outcome IS NULL))::integer AS unsettled,
            (count(*) FILTER (WHERE outcome = 'cancelled'))::integer AS cancelled,
            (count(*) FILTER (WHERE outcome = 'discarded'))::integer AS discarded
        FROM baton.workflow_nodes WHERE workflow_id = workflow AND map_id IS NULL
    ) AS counts
    WHERE workflow_row.workflow_id = workflow;
END
$function$;
