-- Handle jobs that were started but may not run. If their nodes wait, or too little of a budget is left, they are put back,
-- as if they had not been attempted. If they or their workflow were cancelled, they are cancelled; but if somebody has
-- retried them since the gate read them, they are put back too.
CREATE OR REPLACE FUNCTION baton.baton_park(job_ids bigint[], attempts smallint[])
RETURNS void
LANGUAGE plpgsql
SET search_path TO pg_catalog, pg_temp
SET lock_timeout = '500ms'
SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off
SET jit = off
AS $function$
DECLARE
    stopped bigint[];
    marked text; -- tells our triggers that we know of the change
BEGIN
    -- The lock on the node prevents a settle from counting down to zero between the read and the update.
    PERFORM 1 FROM baton.workflow_nodes WHERE oban_job_id = ANY(job_ids) ORDER BY oban_job_id FOR NO KEY UPDATE;
    -- And this one prevents baton_admit from admitting a job between the read and the update: it would find the job still
    -- executing, and the job would then wait although it was admitted.
    PERFORM 1 FROM baton.baton_reservations WHERE oban_job_id = ANY(job_ids) ORDER BY oban_job_id FOR NO KEY UPDATE;

    marked := set_config('baton_dsl.settling', 'on', true);
    WITH parked AS (
        UPDATE baton.oban_jobs AS job
        SET state = CASE
                WHEN found.reason IS NOT NULL THEN 'cancelled'
                WHEN found.pending > 0 OR found.waits_for_budget THEN 'suspended'
                ELSE 'available'
            END::baton.oban_job_state,
            attempt = job.attempt - (found.reason IS NULL)::integer,
            cancelled_at = CASE WHEN found.reason IS NOT NULL THEN timezone('UTC', now()) END,
            errors = CASE
                WHEN found.reason IS NOT NULL THEN job.errors || baton.baton_error(job.attempt::integer, found.reason)
                ELSE job.errors
            END
        FROM (
            SELECT node.oban_job_id, node.outcome, node.pending,
                CASE
                    WHEN node.outcome IS NOT NULL THEN 'BTN507: cancelled, since its node was ' || node.outcome
                    WHEN workflow.stopped_at IS NOT NULL THEN 'BTN507: cancelled before it started, since its workflow was'
                END AS reason,
                EXISTS (
                    SELECT FROM baton.baton_reservations AS reservation
                    WHERE reservation.oban_job_id = node.oban_job_id
                        AND reservation.attempt IS NULL
                        AND reservation.called_at IS NULL
                ) AS waits_for_budget
            FROM baton.workflow_nodes AS node
            JOIN baton.baton_workflows AS workflow USING (workflow_id)
            WHERE node.oban_job_id = ANY(job_ids) AND (node.outcome IS NULL OR node.outcome IN ('cancelled', 'discarded'))
        ) AS found
        WHERE job.id = ANY(job_ids)
            AND job.id = found.oban_job_id
            AND job.state = 'executing'
            AND job.attempt = attempts[array_position(job_ids, job.id)]
        RETURNING job.id, job.state, found.outcome
    )
    SELECT array_agg(id) INTO stopped FROM parked WHERE state = 'cancelled' AND outcome IS NULL;
    marked := set_config('baton_dsl.settling', 'off', true);
    IF stopped IS NOT NULL THEN
        PERFORM baton.baton_end(stopped, 'cancelled');
    END IF;
END
$function$;
