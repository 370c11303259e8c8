-- Let jobs that have ended be attempted once more, as soon as their nodes wait for nothing.
CREATE OR REPLACE FUNCTION baton_rearm(job_ids bigint[])
RETURNS void
LANGUAGE plpgsql
AS $function$
BEGIN
    UPDATE oban_jobs AS job
    SET state = 'suspended',
        max_attempts = greatest(job.max_attempts, job.attempt + 1),
        -- a pause before the next attempt is over; a start in the future that the step was given is not
        scheduled_at = CASE
            WHEN job.attempt > 0 THEN least(job.scheduled_at, timezone('UTC', now()))
            ELSE job.scheduled_at
        END,
        completed_at = NULL,
        cancelled_at = NULL,
        discarded_at = NULL
    WHERE job.id = ANY(job_ids);
END
$function$;
