-- What follows when a node ends otherwise than completed: those below that can't run any more end with it.

-- Settle nodes because of what became of their jobs, whoever did that, and cancel what can't run any more.
CREATE OR REPLACE FUNCTION baton_end(job_ids bigint[], how text)
RETURNS void
LANGUAGE plpgsql
SET search_path FROM CURRENT
SET baton.settling = 'on'
SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off
SET jit = off
AS $function$
DECLARE
    ended bigint[];
    is_locked boolean := false;
BEGIN
    LOOP -- as in baton_settle
        WITH own AS (
            UPDATE workflow_nodes SET outcome = how, updated_at = now()
            WHERE oban_job_id = ANY(job_ids) AND outcome IS NULL
            RETURNING oban_job_id
        )
        SELECT ended || array_agg(oban_job_id) INTO ended FROM own;
        EXIT WHEN is_locked OR cardinality(ended) = cardinality(job_ids);

        PERFORM 1 FROM workflow_nodes WHERE oban_job_id = ANY(job_ids) ORDER BY oban_job_id FOR NO KEY UPDATE;
        is_locked := true;
    END LOOP;
    IF ended IS NULL THEN
        RETURN;
    END IF;

    PERFORM baton_spread(ended || baton_follow(ended));
END
$function$;

-- What can't run any more, since one of `ended` was cancelled or discarded (`how` is 'cancelled'), or was skipped though
-- its result is needed ('skipped').
--
-- One statement finds all of it, however long the chain: no recursion of calls, no trigger upon trigger. A node whose job
-- has ended, or is gone, was changed by the same statement as ours and settles by itself. A map that has expanded is as
-- its children are, and what it maps over it can't do without.
CREATE OR REPLACE FUNCTION baton_reach(ended bigint[], how text)
RETURNS bigint[]
LANGUAGE plpgsql
STABLE
AS $function$
DECLARE
    doomed bigint[];
BEGIN
    WITH RECURSIVE reached(id, outcome, is_new) AS (
        SELECT origin.oban_job_id, origin.outcome, false
        FROM unnest(ended) AS given(id)
        CROSS JOIN LATERAL (SELECT * FROM workflow_nodes WHERE oban_job_id = given.id OFFSET 0) AS origin
        WHERE origin.outcome = how OR (how = 'cancelled' AND origin.outcome = 'discarded')
        UNION
        SELECT node.oban_job_id, how, true
        FROM reached
        CROSS JOIN LATERAL (SELECT * FROM workflow_nodes WHERE oban_job_id = reached.id OFFSET 0) AS above
        CROSS JOIN unnest(above.downstreams) AS below(id)
        CROSS JOIN LATERAL (
            SELECT workflow_nodes.*, above.oban_job_id = ANY(sources) AND is_map AS is_mapped_over
            FROM workflow_nodes WHERE oban_job_id = below.id OFFSET 0
        ) AS node
        LEFT JOIN LATERAL (SELECT state FROM oban_jobs WHERE id = below.id OFFSET 0) AS job ON true
        WHERE node.outcome IS NULL
            AND node.items IS NULL
            AND (node.is_map OR job.state NOT IN ('completed', 'cancelled', 'discarded'))
            AND CASE
                WHEN node.is_mapped_over THEN above.items IS NULL
                ELSE NOT baton_permits(
                    reached.outcome,
                    node.ignore_cancelled,
                    node.ignore_discarded,
                    node.optional && ARRAY[above.oban_job_id, 0]
                )
            END
    )
    SELECT array_agg(id ORDER BY id) INTO doomed FROM reached WHERE is_new;
    RETURN doomed;
END
$function$;

-- Settle what can't run any more since `ended` did, otherwise than completed. Returns it, or NULL.
CREATE OR REPLACE FUNCTION baton_follow(ended bigint[])
RETURNS bigint[]
LANGUAGE plpgsql
AS $function$
DECLARE
    how text;
    worst text;
    doomed bigint[];
    followed bigint[];
    all_followed bigint[];
BEGIN
    IF ended IS NULL THEN
        RETURN NULL;
    END IF;
    SELECT max(outcome) FILTER (WHERE outcome IN ('cancelled', 'discarded')) INTO worst
    FROM workflow_nodes WHERE oban_job_id = ANY(ended) AND outcome <> 'completed';

    FOREACH how IN ARRAY ARRAY['cancelled', 'skipped'] LOOP -- in this order: what would be both is cancelled
        doomed := CASE WHEN how = 'skipped' OR worst IS NOT NULL THEN baton_reach(ended, how) END;
        IF doomed IS NOT NULL THEN
            PERFORM 1 FROM workflow_nodes WHERE oban_job_id = ANY(doomed) ORDER BY oban_job_id FOR NO KEY UPDATE;

            WITH own AS (
                UPDATE workflow_nodes SET outcome = how, by_upstream = true, updated_at = now()
                WHERE oban_job_id = ANY(doomed) AND outcome IS NULL
                RETURNING oban_job_id
            )
            SELECT array_agg(oban_job_id) INTO followed FROM own;
            PERFORM baton_cancel_jobs(
                followed,
                CASE how
                    WHEN 'cancelled' THEN 'BTN507: cancelled, since an upstream was ' || worst
                    ELSE 'BTN512: skipped, since an upstream was'
                END
            );
            all_followed := all_followed || followed;
        END IF;
    END LOOP;
    RETURN all_followed;
END
$function$;

-- Cancel jobs that do not run, and say why in their errors.
CREATE OR REPLACE FUNCTION baton_cancel_jobs(job_ids bigint[], reason text)
RETURNS void
LANGUAGE plpgsql -- not sql: that would be parsed now, when Oban's state 'suspended' may be too new to be named
AS $function$
BEGIN
    UPDATE oban_jobs AS job
    SET state = 'cancelled',
        cancelled_at = timezone('UTC', now()),
        errors = job.errors || baton_error(job.attempt, reason)
    WHERE job.id = ANY(job_ids) AND job.state IN ('suspended', 'scheduled', 'available', 'retryable');
END
$function$;
