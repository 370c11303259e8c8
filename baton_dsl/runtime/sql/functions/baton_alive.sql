-- The answer of a process when `baton_rescue` asks whether its producers are alive. Then they count as alive for some more
-- seconds, although their lock is gone. By then, its guard has locked them again, or the process has been asked again.
CREATE OR REPLACE FUNCTION baton.baton_alive(producers text[])
RETURNS void
LANGUAGE sql
SET search_path TO pg_catalog, pg_temp
AS $function$
    UPDATE baton.baton_suspects
    SET suspected_at = clock_timestamp() + interval '7 seconds'
    WHERE producer = ANY(producers)
$function$;
