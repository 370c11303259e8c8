-- Cancel the jobs of nodes that were cancelled or discarded while these attempts ran: a retry of such a node must not find
-- its job running.
CREATE OR REPLACE FUNCTION baton.baton_cancel_late(job_ids bigint[], attempts smallint[])
RETURNS void
LANGUAGE plpgsql
AS $function$
DECLARE
    ended bigint[];
    marked text; -- tells our triggers that we know of the change
BEGIN
    SELECT array_agg(oban_job_id) INTO ended
    FROM baton.workflow_nodes WHERE oban_job_id = ANY(job_ids) AND outcome IN ('cancelled', 'discarded');

    marked := set_config('baton_dsl.settling', 'on', true);
    UPDATE baton.oban_jobs AS job
    SET state = 'cancelled',
        cancelled_at = timezone('UTC', now()),
        errors = job.errors
            || baton.baton_error(job.attempt::integer, 'BTN507: cancelled, since its node was before it returned')
    WHERE job.id = ANY(ended)
        AND job.state = 'executing'
        AND job.attempt = attempts[array_position(job_ids, job.id)];
    marked := set_config('baton_dsl.settling', 'off', true);
END
$function$;
