-- Cancel jobs that do not run, and say why in their errors.
CREATE OR REPLACE FUNCTION baton_cancel_jobs(job_ids bigint[], reason text)
RETURNS void
LANGUAGE plpgsql -- not sql: that would be parsed now, when Oban's state 'suspended' may be too new to be named
AS $function$
BEGIN
    UPDATE oban_jobs AS job
    SET state = 'cancelled',
        cancelled_at = timezone('UTC', now()),
        errors = job.errors || baton_error(job.attempt, reason)
    WHERE job.id = ANY(job_ids) AND job.state IN ('suspended', 'scheduled', 'available', 'retryable');
END
$function$;
