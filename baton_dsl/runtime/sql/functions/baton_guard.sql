-- Called by each process every second: lock its producers that are not locked yet, and mark them as guarded, so that their
-- locks count and not Oban's slower heartbeat. Returns the producers that are locked now.
CREATE OR REPLACE FUNCTION baton.baton_guard(producers text[], held text[])
RETURNS text[]
LANGUAGE plpgsql
SET search_path TO pg_catalog, pg_temp
AS $function$
DECLARE
    locked text[];
BEGIN
    SELECT array_agg(given.producer) INTO locked
    FROM unnest(producers) AS given(producer)
    WHERE given.producer = ANY(held) OR pg_try_advisory_lock(baton.baton_producer_key(given.producer));

    UPDATE baton.oban_producers
    SET meta = meta || '{"baton_guarded": true}'
    WHERE uuid::text = ANY(locked) AND meta -> 'baton_guarded' IS DISTINCT FROM 'true';

    RETURN coalesce(locked, '{}');
END
$function$;
