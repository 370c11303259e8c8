-- A job was returned to its queue, after an attempt or by hand. It may not run now if its node waits for something, if
-- its workflow was cancelled while it ran, or if its node was.
CREATE OR REPLACE FUNCTION baton_return(job_id bigint)
RETURNS void
LANGUAGE plpgsql
SET search_path FROM CURRENT
SET baton.settling = 'on'
SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off
SET jit = off
AS $function$
DECLARE
    node record;
BEGIN
    -- The lock keeps a settle from counting down to zero between the look and the update.
    PERFORM 1 FROM workflow_nodes WHERE oban_job_id = job_id FOR NO KEY UPDATE;

    SELECT waiting.pending, waiting.outcome, workflow.stopped_at INTO node
    FROM workflow_nodes AS waiting
    JOIN baton_workflows AS workflow USING (workflow_id)
    WHERE waiting.oban_job_id = job_id;

    IF node.outcome IN ('cancelled', 'discarded', 'skipped') THEN
        PERFORM baton_cancel_jobs(ARRAY[job_id], 'BTN507: cancelled, since its node was ' || node.outcome);
    ELSIF node.outcome IS NULL AND node.stopped_at IS NOT NULL THEN
        PERFORM baton_cancel_jobs(ARRAY[job_id], 'BTN507: cancelled, since its workflow was');
        PERFORM baton_end(ARRAY[job_id], 'cancelled');
    ELSIF node.outcome IS NULL AND node.pending > 0 THEN
        UPDATE oban_jobs SET state = 'suspended' WHERE id = job_id;
    END IF;
END
$function$;
