-- Whether a producer seems to be alive.
CREATE OR REPLACE FUNCTION baton.baton_lives(producer text)
RETURNS boolean
LANGUAGE sql
STABLE
SET search_path TO pg_catalog, pg_temp
AS $function$
    SELECT EXISTS (
        SELECT
        FROM pg_locks
        WHERE locktype = 'advisory'
            AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
            AND objsubid = 1
            AND granted
            AND (classid::bigint << 32) | objid::bigint = baton.baton_producer_key(producer)
    )
    OR EXISTS (
        SELECT
        FROM baton.oban_producers
        WHERE uuid::text = producer
            AND updated_at > timezone('UTC', now()) - CASE
                WHEN NOT meta ? 'baton_guarded' THEN interval '60 seconds'
                WHEN meta ->> 'baton_guarded' = 'soon' THEN interval '5 seconds' -- it has not locked yet
                ELSE interval '0 seconds'
            END
    )
$function$;
