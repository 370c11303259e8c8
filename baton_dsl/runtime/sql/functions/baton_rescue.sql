-- Return the steps of producers that have been dead for `grace` to their queues. Called every second by the processes that
-- run steps, and whenever any Oban process starts a queue or sends its heartbeat. Returns the number of steps.
CREATE OR REPLACE FUNCTION baton.baton_rescue(grace interval DEFAULT '3 seconds')
RETURNS integer
LANGUAGE plpgsql
SET search_path TO pg_catalog, pg_temp
SET lock_timeout = '500ms'
AS $function$
DECLARE
    orphans integer;
    notified bigint;
    marked text; -- tells our trigger that this is not Oban's lifeline
BEGIN
    -- One call at a time is enough.
    IF NOT pg_try_advisory_xact_lock(baton.baton_producer_key('rescue in baton.')) THEN
        RETURN 0;
    END IF;

    -- Materialized, so that each producer is checked once, not for each of its jobs.
    WITH running AS MATERIALIZED (
        SELECT DISTINCT job.attempted_by[2] AS producer
        FROM baton.oban_jobs AS job
        WHERE job.state = 'executing' AND job.meta ? 'workflow_id' AND job.attempted_by[2] IS NOT NULL
    ),
    gone AS MATERIALIZED (
        SELECT running.producer FROM running WHERE NOT baton.baton_lives(running.producer)
    ),
    cleared AS (
        DELETE FROM baton.baton_suspects WHERE producer NOT IN (SELECT gone.producer FROM gone)
    ),
    suspected AS (
        INSERT INTO baton.baton_suspects (producer, suspected_at)
        SELECT gone.producer, clock_timestamp() FROM gone
        ON CONFLICT DO NOTHING
    )
    -- A process whose lock is gone may be alive, if the network has dropped only that connection. So it is asked each
    -- time, and its answer (`baton_alive`) gives it more time.
    SELECT count(pg_notify('baton.oban_alive', json_build_object('producer', gone.producer)::text))
    INTO notified
    FROM gone;

    marked := set_config('baton_dsl.rescuing', 'on', true);
    -- A crash uses no attempt: max_attempts grows by one. As many crashes are allowed as the step's option says, or as
    -- it has attempts.
    WITH orphan AS MATERIALIZED (
        SELECT job.id, job.attempt, counted.crashes,
            coalesce((job.meta ->> 'baton_max_crashes')::integer, job.max_attempts - counted.crashes + 1) AS most
        FROM baton.baton_suspects AS suspect
        JOIN baton.oban_jobs AS job ON job.attempted_by[2] = suspect.producer
        CROSS JOIN LATERAL (SELECT coalesce((job.meta ->> 'rescued')::integer, 0) + 1 AS crashes) AS counted
        WHERE job.state = 'executing'
            AND job.meta ? 'workflow_id'
            AND suspect.suspected_at <= clock_timestamp() - grace
    ),
    returned AS (
        UPDATE baton.oban_jobs AS job
        SET state = CASE WHEN orphan.crashes < orphan.most THEN 'available' ELSE 'discarded' END::baton.oban_job_state,
            max_attempts = CASE
                WHEN orphan.crashes < orphan.most THEN least(job.max_attempts + 1, 32767)
                ELSE job.max_attempts
            END,
            discarded_at = CASE WHEN orphan.crashes < orphan.most THEN NULL ELSE timezone('UTC', now()) END,
            meta = job.meta || jsonb_build_object('rescued', orphan.crashes),
            errors = job.errors || baton.baton_error(
                job.attempt::integer,
                'BTN508: the process that ran this attempt is gone'
                || CASE
                    WHEN orphan.crashes < orphan.most THEN ''
                    ELSE ', which is crash ' || orphan.crashes || ' of at most ' || orphan.most
                END
            )
        FROM orphan
        WHERE job.id = orphan.id AND job.state = 'executing' AND job.attempt = orphan.attempt
        RETURNING job.queue, job.state
    )
    SELECT
        (SELECT count(*) FROM returned),
        (
            SELECT count(pg_notify('baton.oban_insert', json_build_object('queue', queues.queue)::text))
            FROM (SELECT DISTINCT queue FROM returned WHERE state = 'available') AS queues
        )
    INTO orphans, notified;
    marked := set_config('baton_dsl.rescuing', 'off', true);
    RETURN orphans;
END
$function$;
