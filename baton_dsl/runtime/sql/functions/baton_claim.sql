-- As `baton_promote`, for one job, and one place of one queue that may take it: `place_by` is NULL if none may. Gives the job
-- if it was claimed; else it is available now.
CREATE OR REPLACE FUNCTION baton.baton_claim(
    job_id bigint, place_queue text, place_priority smallint, place_by text[], yields boolean
)
RETURNS bigint
LANGUAGE plpgsql
AS $function$
DECLARE
    claimed_id bigint;
    moment timestamp := timezone('UTC', now());
    marked text; -- tells our triggers that we know of the change
BEGIN
    IF place_by IS NOT NULL AND (
        (place_priority = 0 AND NOT yields) -- nothing comes before it
        OR NOT EXISTS (
            SELECT FROM baton.oban_jobs AS waiting
            WHERE waiting.state = 'available'
                AND waiting.queue = place_queue
                AND waiting.priority < place_priority + yields::integer
        )
    ) THEN
        marked := set_config('baton_dsl.settling', 'on', true);
        UPDATE baton.oban_jobs AS job
        SET state = 'executing', attempt = job.attempt + 1, attempted_at = moment, attempted_by = place_by,
            scheduled_at = moment
        WHERE job.id = job_id
            AND job.state = 'suspended'
            AND job.queue = place_queue
            AND job.priority = place_priority
            AND job.scheduled_at <= moment
            AND job.attempt < job.max_attempts
        RETURNING job.id INTO claimed_id;
        marked := set_config('baton_dsl.settling', 'off', true);
    END IF;
    IF claimed_id IS NULL THEN
        PERFORM baton.baton_promote(ARRAY[job_id], '[]'::json);
    END IF;
    RETURN claimed_id;
END
$function$;
