-- What a process answers when `baton_rescue` asks whether its producers live: for some seconds more they are not taken for
-- gone, though their lock is. By then its guard has locked them again, or it has been asked again.
CREATE OR REPLACE FUNCTION baton.baton_alive(producers text[])
RETURNS void
LANGUAGE sql
SET search_path TO pg_catalog, pg_temp
AS $function$
    UPDATE baton.baton_suspects
    SET suspected_at = clock_timestamp() + interval '7 seconds'
    WHERE producer = ANY(producers)
$function$;
