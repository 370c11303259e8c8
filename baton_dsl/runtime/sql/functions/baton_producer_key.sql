-- The key of the lock that a process holds for one of its producers.
CREATE OR REPLACE FUNCTION baton.baton_producer_key(producer text)
RETURNS bigint
LANGUAGE sql
IMMUTABLE
AS $function$
    SELECT hashtextextended('baton:' || producer, 0)
$function$;
