-- The key of the lock that a process holds for one of its producers.
CREATE OR REPLACE FUNCTION baton.baton_producer_key(producer text)
RETURNS bigint
LANGUAGE sql
IMMUTABLE
AS $function$
    -- also called where the search_path is not ours
    SELECT pg_catalog.hashtextextended('baton:'::text OPERATOR(pg_catalog.||) producer, 0::bigint)
$function$;
