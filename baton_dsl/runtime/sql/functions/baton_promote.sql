-- Let jobs run that wait for nothing any more. Returns those that were claimed for `slots`.
--
-- A claim never passes over a job of a higher priority that waits in its queue; where the slot `yields`, since claims have
-- kept it for a while, nor over one of the same priority, which waits for longer.
CREATE OR REPLACE FUNCTION baton.baton_promote(ready_ids bigint[], slots json DEFAULT '[]')
RETURNS bigint[]
LANGUAGE plpgsql
AS $function$
DECLARE
    moment timestamp := timezone('UTC', now());
    claimed_ids bigint[];
    claimants jsonb;
    notified bigint;
    marked text; -- tells our triggers that we know of the change
BEGIN
    WITH ready AS MATERIALIZED (
        SELECT job.id, job.queue, job.priority,
            row_number() OVER (PARTITION BY job.queue, job.priority ORDER BY job.scheduled_at, job.id) AS place
        FROM baton.oban_jobs AS job
        WHERE job.id = ANY(ready_ids)
            AND job.state = 'suspended'
            AND job.scheduled_at <= moment
            AND job.attempt < job.max_attempts
    ),
    slot AS MATERIALIZED (
        SELECT given.*
        FROM json_to_recordset(slots)
            AS given(queue text, priority smallint, places integer, by text[], yields boolean)
        WHERE CASE
            WHEN given.priority = 0 AND given.yields IS NOT TRUE THEN true -- nothing comes before it
            ELSE NOT EXISTS (
                SELECT
                FROM baton.oban_jobs AS waiting
                WHERE waiting.state = 'available'
                    AND waiting.queue = given.queue
                    AND waiting.priority < given.priority + (given.yields IS TRUE)::integer
            )
        END
    )
    SELECT coalesce(array_agg(ready.id), '{}'), coalesce(jsonb_object_agg(slot.queue, to_jsonb(slot.by)), '{}')
    INTO claimed_ids, claimants
    FROM slot
    JOIN ready ON ready.queue = slot.queue AND ready.priority = slot.priority AND ready.place <= slot.places;

    marked := set_config('baton_dsl.settling', 'on', true);
    WITH promoted AS (
        UPDATE baton.oban_jobs AS job
        SET state = CASE
                WHEN job.id = ANY(claimed_ids) THEN 'executing'
                WHEN job.scheduled_at > moment THEN 'scheduled'
                ELSE 'available'
            END::baton.oban_job_state,
            scheduled_at = greatest(job.scheduled_at, moment),
            attempt = job.attempt + (job.id = ANY(claimed_ids))::integer,
            attempted_at = CASE WHEN job.id = ANY(claimed_ids) THEN moment ELSE job.attempted_at END,
            attempted_by = CASE
                WHEN job.id = ANY(claimed_ids) THEN ARRAY(SELECT jsonb_array_elements_text(claimants -> job.queue))
                ELSE job.attempted_by
            END
        WHERE job.id = ANY(ready_ids) AND job.state = 'suspended'
        RETURNING job.id, job.queue, job.state
    )
    SELECT
        (SELECT array_agg(id) FROM promoted WHERE state = 'executing'),
        (
            SELECT count(pg_notify('baton.oban_insert', json_build_object('queue', queues.queue)::text))
            FROM (SELECT DISTINCT queue FROM promoted WHERE state = 'available') AS queues
        )
    INTO claimed_ids, notified;
    marked := set_config('baton_dsl.settling', 'off', true);
    RETURN claimed_ids;
END
$function$;
