-- Cancel jobs that do not run, and add the reason to their errors.
CREATE OR REPLACE FUNCTION baton.baton_cancel_jobs(job_ids bigint[], reason text)
RETURNS void
LANGUAGE plpgsql -- not sql: it would be parsed now, when Oban's new state 'suspended' can't be used yet
AS $function$
DECLARE
    marked text; -- tells our triggers that we know of the change
BEGIN
    marked := set_config('baton_dsl.settling', 'on', true);
    UPDATE baton.oban_jobs AS job
    SET state = 'cancelled',
        cancelled_at = timezone('UTC', now()),
        errors = job.errors || baton.baton_error(job.attempt::integer, reason)
    WHERE job.id = ANY(job_ids) AND job.state IN ('suspended', 'scheduled', 'available', 'retryable');
    marked := set_config('baton_dsl.settling', 'off', true);
END
$function$;
