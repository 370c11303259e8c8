-- Remove at most `most` workflows that ended longer than `age` ago, with their results and what they recorded; never a
-- running one. Oban prunes their jobs.
CREATE OR REPLACE FUNCTION baton.baton_prune(age interval, most integer)
RETURNS integer
LANGUAGE plpgsql
SET search_path TO pg_catalog, pg_temp
AS $function$
#variable_conflict use_column
DECLARE
    old text[];
BEGIN
    SELECT array_agg(workflow_id) INTO old
    FROM (
        SELECT workflow_id FROM baton.baton_workflows
        WHERE settled_at < now() - age
        ORDER BY settled_at
        LIMIT most
        FOR UPDATE SKIP LOCKED
    ) AS settled;
    DELETE FROM baton.baton_budgets WHERE workflow_id = ANY(old);
    DELETE FROM baton.baton_reservations WHERE workflow_id = ANY(old);
    DELETE FROM baton.baton_captures WHERE workflow_id = ANY(old);
    DELETE FROM baton.baton_usage WHERE workflow_id = ANY(old);
    WITH gone AS (
        DELETE FROM baton.workflow_nodes WHERE workflow_id = ANY(old) RETURNING oban_job_id
    ), spans AS (
        DELETE FROM baton.baton_spans WHERE oban_job_id IN (SELECT oban_job_id FROM gone)
    )
    DELETE FROM baton.baton_checkpoints WHERE oban_job_id IN (SELECT oban_job_id FROM gone);
    DELETE FROM baton.baton_workflows WHERE workflow_id = ANY(old);
    DELETE FROM baton.baton_flows AS flow
    WHERE flow.inserted_at < now() - age
        AND NOT EXISTS (SELECT FROM baton.baton_workflows AS workflow WHERE workflow.fingerprint = flow.fingerprint);
    RETURN coalesce(cardinality(old), 0);
END
$function$;
