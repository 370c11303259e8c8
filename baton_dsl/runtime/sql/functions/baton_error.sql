-- An entry for the errors of a job, as Oban writes them.
CREATE OR REPLACE FUNCTION baton.baton_error(attempt integer, reason text)
RETURNS jsonb
LANGUAGE sql
STABLE
AS $function$
    SELECT jsonb_build_object(
        'attempt', attempt,
        'at', to_char(timezone('UTC', now()), 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
        'error', reason
    )
$function$;
