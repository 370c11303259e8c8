-- Whether this attempt of a hook's job may call its function. It is the last one from here on: what has begun is not
-- begun again, though the process may die now.
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
