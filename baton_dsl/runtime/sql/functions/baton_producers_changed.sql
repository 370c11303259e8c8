-- Rescue steps whenever any Oban process, with or without our code, sends its heartbeat (every 15 seconds) or starts a queue.
CREATE OR REPLACE FUNCTION baton.baton_producers_changed()
RETURNS trigger
LANGUAGE plpgsql
SET search_path TO pg_catalog, pg_temp
AS $function$
BEGIN
    PERFORM baton.baton_rescue('3 seconds'::interval);
    RETURN NULL;
EXCEPTION
    WHEN lock_not_available OR deadlock_detected THEN
        RETURN NULL; -- the next heartbeat tries again
END
$function$;
