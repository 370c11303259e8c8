-- Whether this attempt of a hook's job may call its function. From here on it is the last attempt: a hook that has started
-- is never started again, even if the process dies now.
CREATE OR REPLACE FUNCTION baton.baton_begin_hook(job_id bigint, job_attempt integer)
RETURNS boolean
LANGUAGE plpgsql
SET search_path TO pg_catalog, pg_temp
AS $function$
BEGIN
    UPDATE baton.oban_jobs SET max_attempts = attempt
    WHERE id = job_id AND state = 'executing' AND attempt = job_attempt;
    RETURN FOUND;
END
$function$;
