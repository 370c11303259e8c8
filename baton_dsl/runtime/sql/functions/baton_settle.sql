-- Settle nodes whose functions returned: store the results, and complete the jobs if these attempts still hold them.
-- A node that has already settled keeps its outcome. If a result is NULL, the step was skipped, and `reasons` has the
-- reason.
--
-- `slots` are the slots that the finished jobs free in their queues: `[{"queue", "priority", "places", "by"}]`. A job that
-- is promoted here may be claimed for one at once, in this transaction, instead of by Oban's fetch a moment later.
--
-- The first row has the jobs that were completed; each further row is a claimed job. `is_again` means that the same call was
-- made before and its answer was lost: then the jobs that it claimed are returned again. `forgets` means that some jobs may
-- have checkpoints or reservations.
CREATE OR REPLACE FUNCTION baton.baton_settle(
    job_ids bigint[], attempts smallint[], results text[], reasons text[], slots json, is_again boolean, forgets boolean DEFAULT false
)
RETURNS TABLE (
    acknowledged bigint[], id bigint, state text, queue text, worker text, attempt smallint, max_attempts smallint,
    priority smallint, args jsonb, meta jsonb, errors jsonb, tags text[], attempted_by text[], inserted_at timestamp,
    attempted_at timestamp, scheduled_at timestamp
)
LANGUAGE plpgsql
SET search_path TO pg_catalog, pg_temp
SET lock_timeout = '500ms'
SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off
SET jit = off
AS $function$
#variable_conflict use_column
DECLARE
    settled bigint[];
    skipped bigint[];
    acked_ids bigint[];
    claimed_ids bigint[];
    is_locked boolean := false;
    marked text; -- tells our triggers that we know of the change
BEGIN
    LOOP -- one iteration, unless one of them has settled already
        WITH own AS (
            UPDATE baton.workflow_nodes
            SET outcome = CASE
                    WHEN results[array_position(job_ids, oban_job_id)] IS NULL THEN 'skipped'
                    ELSE 'completed'
                END,
                result = results[array_position(job_ids, oban_job_id)]::json,
                reason = reasons[array_position(job_ids, oban_job_id)],
                updated_at = now()
            WHERE oban_job_id = ANY(job_ids) AND outcome IS NULL
            RETURNING oban_job_id, outcome
        )
        SELECT settled || array_agg(oban_job_id), skipped || array_agg(oban_job_id) FILTER (WHERE outcome = 'skipped')
        INTO settled, skipped
        FROM own;
        EXIT WHEN is_locked OR cardinality(settled) = cardinality(job_ids);

        -- Somebody may be retrying it: after the commit, which the update did not wait for, it is active again.
        PERFORM 1 FROM baton.workflow_nodes WHERE oban_job_id = ANY(job_ids) ORDER BY oban_job_id FOR NO KEY UPDATE;
        is_locked := true;
    END LOOP;

    IF is_locked THEN
        PERFORM baton.baton_cancel_late(job_ids, attempts);
    END IF;

    marked := set_config('baton_dsl.settling', 'on', true);
    WITH acked AS (
        UPDATE baton.oban_jobs AS job
        SET state = 'completed', completed_at = timezone('UTC', now())
        WHERE job.id = ANY(settled)
            AND job.state = 'executing'
            AND job.attempt = attempts[array_position(job_ids, job.id)]
        RETURNING job.id
    )
    SELECT array_agg(acked.id) INTO acked_ids FROM acked;
    marked := set_config('baton_dsl.settling', 'off', true);

    IF settled IS NOT NULL THEN
        IF skipped IS NOT NULL THEN
            settled := settled || baton.baton_follow(skipped);
        END IF;
        claimed_ids := baton.baton_spread(settled, slots, NULL::bigint[], NULL::bigint[]);
    END IF;
    IF forgets THEN PERFORM baton.baton_forget(settled); END IF;
    IF is_again THEN
        claimed_ids := baton.baton_claimed_before(job_ids, slots);
    END IF;

    RETURN QUERY SELECT acked_ids, NULL::bigint, NULL::text, NULL::text, NULL::text, NULL::smallint, NULL::smallint,
        NULL::smallint, NULL::jsonb, NULL::jsonb, NULL::jsonb, NULL::text[], NULL::text[], NULL::timestamp,
        NULL::timestamp, NULL::timestamp;
    IF claimed_ids IS NOT NULL THEN
        RETURN QUERY SELECT NULL::bigint[], job.id, job.state::text, job.queue, job.worker, job.attempt,
            job.max_attempts, job.priority, job.args, job.meta, job.errors, job.tags, job.attempted_by,
            job.inserted_at, job.attempted_at, job.scheduled_at
        FROM baton.oban_jobs AS job WHERE job.id = ANY(claimed_ids);
    END IF;
END
$function$;
