-- Called when a job was returned to its queue, after an attempt or by hand. It must not run if its node waits for something,
-- or if its node or its workflow was cancelled while it ran.
CREATE OR REPLACE FUNCTION baton.baton_return(job_id bigint)
RETURNS void
LANGUAGE plpgsql
SET search_path TO pg_catalog, pg_temp
SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off
SET jit = off
AS $function$
DECLARE
    node record;
    marked text; -- tells our triggers that we know of the change
BEGIN
    -- The lock prevents a settle from counting down to zero between the read and the update.
    PERFORM 1 FROM baton.workflow_nodes WHERE oban_job_id = job_id FOR NO KEY UPDATE;

    SELECT waiting.pending, waiting.outcome, workflow.stopped_at INTO node
    FROM baton.workflow_nodes AS waiting
    JOIN baton.baton_workflows AS workflow USING (workflow_id)
    WHERE waiting.oban_job_id = job_id;

    IF node.outcome IN ('cancelled', 'discarded', 'skipped') THEN
        PERFORM baton.baton_cancel_jobs(ARRAY[job_id], 'BTN507: cancelled, since its node was ' || node.outcome);
    ELSIF node.outcome IS NULL AND node.stopped_at IS NOT NULL THEN
        PERFORM baton.baton_cancel_jobs(ARRAY[job_id], 'BTN507: cancelled, since its workflow was');
        PERFORM baton.baton_end(ARRAY[job_id], 'cancelled');
    ELSIF node.outcome IS NULL AND node.pending > 0 THEN
        marked := set_config('baton_dsl.settling', 'on', true);
        UPDATE baton.oban_jobs SET state = 'suspended' WHERE id = job_id;
        marked := set_config('baton_dsl.settling', 'off', true);
    END IF;
END
$function$;
