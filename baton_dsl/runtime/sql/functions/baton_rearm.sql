-- Give ended jobs another attempt, as soon as their nodes wait for nothing.
CREATE OR REPLACE FUNCTION baton.baton_rearm(job_ids bigint[])
RETURNS void
LANGUAGE plpgsql
AS $function$
DECLARE
    marked text; -- tells our triggers that we know of the change
BEGIN
    marked := set_config('baton_dsl.settling', 'on', true);
    UPDATE baton.oban_jobs AS job
    SET state = 'suspended',
        max_attempts = greatest(job.max_attempts, job.attempt + 1),
        meta = job.meta - 'rescued', -- start to count crashes again
        -- a backoff does not count any more; a start in the future that the step's options set does
        scheduled_at = CASE
            WHEN job.attempt > 0 THEN least(job.scheduled_at, timezone('UTC', now()))
            ELSE job.scheduled_at
        END,
        completed_at = NULL,
        cancelled_at = NULL,
        discarded_at = NULL
    WHERE job.id = ANY(job_ids);
    marked := set_config('baton_dsl.settling', 'off', true);
END
$function$;
