-- Which steps still run: a long one is left alone, one whose process is gone starts again within seconds.
--
-- A process that runs steps holds an advisory lock for each of its producers, on a connection of its own. PostgreSQL
-- frees it the moment the process dies, however it dies. Oban's own sign of life, every 15 seconds, is what there is
-- of processes that hold no such lock. Whoever misses both is a suspect first: a connection may be cut, a server may
-- restart.

-- Producers that seem to be gone, and since when. Unlogged, as Oban's own table of producers: after a crash of the
-- server nobody is a suspect.
CREATE UNLOGGED TABLE IF NOT EXISTS baton_suspects (
    producer text COLLATE "C" PRIMARY KEY,
    suspected_at timestamptz NOT NULL
);

-- The key of the lock that a process holds for one of its producers.
CREATE OR REPLACE FUNCTION baton_producer_key(producer text)
RETURNS bigint
LANGUAGE sql
IMMUTABLE
AS $function$
    SELECT hashtextextended('baton:' || producer, 0)
$function$;

-- Whether a producer seems to live.
CREATE OR REPLACE FUNCTION baton_lives(producer text)
RETURNS boolean
LANGUAGE sql
STABLE
SET search_path FROM CURRENT
AS $function$
    SELECT EXISTS (
        SELECT
        FROM pg_locks
        WHERE locktype = 'advisory'
            AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
            AND objsubid = 1
            AND granted
            AND (classid::bigint << 32) | objid::bigint = baton_producer_key(producer)
    )
    OR EXISTS (
        SELECT
        FROM oban_producers
        WHERE uuid::text = producer
            AND updated_at > timezone('UTC', now()) - CASE
                WHEN NOT meta ? 'baton_guarded' THEN interval '60 seconds'
                WHEN meta ->> 'baton_guarded' = 'soon' THEN interval '5 seconds' -- it has not locked yet
                ELSE interval '0 seconds'
            END
    )
$function$;

-- What the process calls every second: locks the producers that it has not locked yet, and marks them as guarded, so
-- that nobody takes Oban's slower sign of life for them. Returns those that are locked now.
CREATE OR REPLACE FUNCTION baton_guard(producers text[], held text[])
RETURNS text[]
LANGUAGE plpgsql
SET search_path FROM CURRENT
AS $function$
DECLARE
    locked text[];
BEGIN
    SELECT array_agg(given.producer) INTO locked
    FROM unnest(producers) AS given(producer)
    WHERE given.producer = ANY(held) OR pg_try_advisory_lock(baton_producer_key(given.producer));

    UPDATE oban_producers
    SET meta = meta || '{"baton_guarded": true}'
    WHERE uuid::text = ANY(locked) AND meta -> 'baton_guarded' IS DISTINCT FROM 'true';

    RETURN coalesce(locked, '{}');
END
$function$;

-- Return the steps of producers that have been gone for `grace`. Called by the processes that run steps, every second,
-- and whenever any Oban process starts a queue or gives its sign of life. Returns how many there were.
CREATE OR REPLACE FUNCTION baton_rescue(grace interval DEFAULT '3 seconds')
RETURNS integer
LANGUAGE plpgsql
SET search_path FROM CURRENT
SET lock_timeout = '500ms'
SET baton.rescuing = 'on'
AS $function$
DECLARE
    orphans integer;
    notified bigint;
BEGIN
    -- One at a time: the others have nothing to add.
    IF NOT pg_try_advisory_xact_lock(baton_producer_key('rescue in ' || current_schema())) THEN
        RETURN 0;
    END IF;

    WITH gone AS MATERIALIZED (
        SELECT running.producer
        FROM (
            SELECT DISTINCT job.attempted_by[2] AS producer
            FROM oban_jobs AS job
            WHERE job.state = 'executing' AND job.meta ? 'workflow_id' AND job.attempted_by[2] IS NOT NULL
        ) AS running
        WHERE NOT baton_lives(running.producer)
    ),
    cleared AS (
        DELETE FROM baton_suspects WHERE producer NOT IN (SELECT gone.producer FROM gone)
    )
    INSERT INTO baton_suspects (producer, suspected_at)
    SELECT gone.producer, clock_timestamp() FROM gone
    ON CONFLICT DO NOTHING;

    WITH returned AS (
        UPDATE oban_jobs AS job
        SET state = CASE WHEN job.attempt < job.max_attempts THEN 'available' ELSE 'discarded' END::oban_job_state,
            discarded_at = CASE WHEN job.attempt < job.max_attempts THEN NULL ELSE timezone('UTC', now()) END,
            meta = job.meta || jsonb_build_object('rescued', coalesce((job.meta ->> 'rescued')::integer, 0) + 1),
            errors = job.errors || baton_error(job.attempt, 'BTN508: the process that ran this attempt is gone')
        FROM baton_suspects AS suspect
        WHERE job.state = 'executing'
            AND job.meta ? 'workflow_id'
            AND suspect.producer = job.attempted_by[2]
            AND suspect.suspected_at <= clock_timestamp() - grace
        RETURNING job.queue, job.state
    )
    SELECT
        (SELECT count(*) FROM returned),
        (
            SELECT count(pg_notify(current_schema() || '.oban_insert', json_build_object('queue', queues.queue)::text))
            FROM (SELECT DISTINCT queue FROM returned WHERE state = 'available') AS queues
        )
    INTO orphans, notified;
    RETURN orphans;
END
$function$;

-- Any Oban process, with our code or without, gives a sign of life every 15 seconds, and when it starts a queue.
CREATE OR REPLACE FUNCTION baton_producers_changed()
RETURNS trigger
LANGUAGE plpgsql
SET search_path FROM CURRENT
AS $function$
BEGIN
    PERFORM baton_rescue();
    RETURN NULL;
EXCEPTION
    WHEN lock_not_available OR deadlock_detected THEN
        RETURN NULL; -- the next one looks again
END
$function$;

CREATE OR REPLACE TRIGGER baton_producers_changed
AFTER INSERT OR UPDATE OF updated_at ON oban_producers
FOR EACH STATEMENT
EXECUTE FUNCTION baton_producers_changed();
