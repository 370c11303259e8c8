-- The state machine of a node, in one place. `core/lifecycle.py` is the pure model that tests compare it to.
--
-- A node is settled once `outcome` is set. `pending` of a node that is not settled is the number of its upstreams
-- that it still waits for: those that are not completed, and whose outcome it does not ignore; and one more while the
-- workflow is paused. A node that could only wait for ever, since an upstream was cancelled or discarded, is cancelled
-- with it (`by_upstream`); what is cancelled so follows from the nodes that ended by themselves, in whatever order
-- they did.
--
-- A node that was skipped takes with it those below that need its result (`optional` names the upstreams that a node can
-- do without). It did not fail: no `ignore_...` is about it. Should a node be cancelled and skipped by the same event, it
-- is cancelled. Maps, which have no jobs, are in a file of their own.
--
-- What is read under a lock is read by a later statement than the one that takes the lock: only that one sees what
-- was committed while it waited.
--
-- Locks are taken in one order: the nodes that settle, their jobs, the downstream nodes by `oban_job_id`, the jobs of
-- those, and workflows by `workflow_id`. Job ids grow along the edges of a graph. Whoever changes a job by hand locks it
-- before its node, since the trigger comes after; should such a transaction and a settle meet, `lock_timeout` makes the
-- settle yield before PostgreSQL looks for a deadlock, and the worker tries again.
--
-- A plan is made once a session, perhaps while the tables are still empty, and must serve when they are not. So what
-- settles leaves the planner no choice: an update names its rows by an array of keys and joins nothing, and a walk along
-- edges looks each node up in a lateral subquery (`OFFSET 0` keeps it one). The cost is that of the rows it touches,
-- whatever the statistics say.
--
-- Each function that is called from outside carries the search_path it was created with, so the tables are those of its
-- own schema, whoever calls.

-- Whether an upstream that has ended so lets a node run that waits for it.
CREATE OR REPLACE FUNCTION baton_permits(
    outcome text, ignore_cancelled boolean, ignore_discarded boolean, is_optional boolean
)
RETURNS boolean
LANGUAGE sql
IMMUTABLE
AS $function$
    SELECT coalesce(
        CASE outcome
            WHEN 'completed' THEN true
            WHEN 'cancelled' THEN ignore_cancelled
            WHEN 'discarded' THEN ignore_discarded
            WHEN 'skipped' THEN is_optional
        END,
        false
    )
$function$;

-- An entry for the errors of a job, as Oban writes them.
CREATE OR REPLACE FUNCTION baton_error(attempt integer, reason text)
RETURNS jsonb
LANGUAGE sql
STABLE
AS $function$
    SELECT jsonb_build_object(
        'attempt', attempt,
        'at', to_char(timezone('UTC', now()), 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
        'error', reason
    )
$function$;

-- Settle nodes whose functions returned: store the results, and complete the jobs if these attempts still hold them.
-- A node that has settled before keeps its first outcome. A result that is NULL says that the node skips itself, and why
-- is in `reasons`.
--
-- `slots` are the places in their queues that the finished jobs leave: `[{"queue", "priority", "places", "by"}]`. What
-- is promoted here may take them at once, in this transaction, as Oban's fetch would a moment later.
--
-- The first row has the jobs that were completed here; each further row is a job that was claimed. `is_again` says that
-- the same call was made before and its answer was lost, so what it claimed is told once more: nobody else knows of it.
CREATE OR REPLACE FUNCTION baton_settle(
    job_ids bigint[], attempts smallint[], results text[], reasons text[], slots json, is_again boolean
)
RETURNS TABLE (
    acknowledged bigint[], id bigint, state text, queue text, worker text, attempt smallint, max_attempts smallint,
    priority smallint, args jsonb, meta jsonb, errors jsonb, tags text[], attempted_by text[], inserted_at timestamp,
    attempted_at timestamp, scheduled_at timestamp
)
LANGUAGE plpgsql
SET search_path FROM CURRENT
SET lock_timeout = '500ms'
SET baton.settling = 'on'
SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off
SET jit = off
AS $function$
#variable_conflict use_column
DECLARE
    settled bigint[];
    skipped bigint[];
    ended bigint[];
    acked_ids bigint[];
    claimed_ids bigint[];
    is_locked boolean := false;
BEGIN
    LOOP -- once, unless one of them has settled before
        WITH own AS (
            UPDATE workflow_nodes
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

        -- Somebody may just retry it: then it lives again once that is committed, which the update did not wait for.
        PERFORM 1 FROM workflow_nodes WHERE oban_job_id = ANY(job_ids) ORDER BY oban_job_id FOR NO KEY UPDATE;
        is_locked := true;
    END LOOP;

    IF is_locked THEN
        -- The job of a node that was cancelled ends like it: whoever retries the node shall not find the job running.
        SELECT array_agg(oban_job_id) INTO ended
        FROM workflow_nodes WHERE oban_job_id = ANY(job_ids) AND outcome IN ('cancelled', 'discarded');

        UPDATE oban_jobs AS job
        SET state = 'cancelled',
            cancelled_at = timezone('UTC', now()),
            errors = job.errors || baton_error(job.attempt, 'BTN507: cancelled, since its node was before it returned')
        WHERE job.id = ANY(ended)
            AND job.state = 'executing'
            AND job.attempt = attempts[array_position(job_ids, job.id)];
    END IF;

    WITH acked AS (
        UPDATE oban_jobs AS job
        SET state = 'completed', completed_at = timezone('UTC', now())
        WHERE job.id = ANY(settled)
            AND job.state = 'executing'
            AND job.attempt = attempts[array_position(job_ids, job.id)]
        RETURNING job.id
    )
    SELECT array_agg(acked.id) INTO acked_ids FROM acked;

    IF settled IS NOT NULL THEN
        IF skipped IS NOT NULL THEN
            settled := settled || baton_follow(skipped);
        END IF;
        claimed_ids := baton_spread(settled, slots);
    END IF;
    IF is_again THEN
        claimed_ids := ARRAY(
            SELECT DISTINCT job.id
            FROM workflow_nodes AS node
            CROSS JOIN unnest(node.downstreams) AS below(id)
            CROSS JOIN LATERAL (SELECT * FROM oban_jobs WHERE oban_jobs.id = below.id OFFSET 0) AS job
            JOIN json_to_recordset(slots) AS slot(by text[]) ON slot.by = job.attempted_by
            WHERE node.oban_job_id = ANY(job_ids) AND job.state = 'executing'
        );
    END IF;

    RETURN QUERY SELECT acked_ids, NULL::bigint, NULL::text, NULL::text, NULL::text, NULL::smallint, NULL::smallint,
        NULL::smallint, NULL::jsonb, NULL::jsonb, NULL::jsonb, NULL::text[], NULL::text[], NULL::timestamp,
        NULL::timestamp, NULL::timestamp;
    IF claimed_ids IS NOT NULL THEN
        RETURN QUERY SELECT NULL::bigint[], job.id, job.state::text, job.queue, job.worker, job.attempt,
            job.max_attempts, job.priority, job.args, job.meta, job.errors, job.tags, job.attempted_by,
            job.inserted_at, job.attempted_at, job.scheduled_at
        FROM oban_jobs AS job WHERE job.id = ANY(claimed_ids);
    END IF;
END
$function$;

-- What becomes of jobs that were started though they may not run. Those whose nodes wait are put back: they were never
-- attempted. Those that were cancelled, or whose workflow was, end; but somebody may have retried them since the gate
-- looked, and then they are put back too.
CREATE OR REPLACE FUNCTION baton_park(job_ids bigint[], attempts smallint[])
RETURNS void
LANGUAGE plpgsql
SET search_path FROM CURRENT
SET lock_timeout = '500ms'
SET baton.settling = 'on'
SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off
SET jit = off
AS $function$
DECLARE
    stopped bigint[];
BEGIN
    -- The lock on the node keeps a settle from counting down to zero between the look and the update.
    PERFORM 1 FROM workflow_nodes WHERE oban_job_id = ANY(job_ids) ORDER BY oban_job_id FOR NO KEY UPDATE;

    WITH parked AS (
        UPDATE oban_jobs AS job
        SET state = CASE
                WHEN found.reason IS NOT NULL THEN 'cancelled'
                WHEN found.pending > 0 THEN 'suspended'
                ELSE 'available'
            END::oban_job_state,
            attempt = job.attempt - (found.reason IS NULL)::integer,
            cancelled_at = CASE WHEN found.reason IS NOT NULL THEN timezone('UTC', now()) END,
            errors = CASE
                WHEN found.reason IS NOT NULL THEN job.errors || baton_error(job.attempt, found.reason)
                ELSE job.errors
            END
        FROM (
            SELECT node.oban_job_id, node.outcome, node.pending,
                CASE
                    WHEN node.outcome IS NOT NULL THEN 'BTN507: cancelled, since its node was ' || node.outcome
                    WHEN workflow.stopped_at IS NOT NULL THEN 'BTN507: cancelled before it started, since its workflow was'
                END AS reason
            FROM workflow_nodes AS node
            JOIN baton_workflows AS workflow USING (workflow_id)
            WHERE node.oban_job_id = ANY(job_ids) AND (node.outcome IS NULL OR node.outcome IN ('cancelled', 'discarded'))
        ) AS found
        WHERE job.id = ANY(job_ids)
            AND job.id = found.oban_job_id
            AND job.state = 'executing'
            AND job.attempt = attempts[array_position(job_ids, job.id)]
        RETURNING job.id, job.state, found.outcome
    )
    SELECT array_agg(id) INTO stopped FROM parked WHERE state = 'cancelled' AND outcome IS NULL;
    IF stopped IS NOT NULL THEN
        PERFORM baton_end(stopped, 'cancelled');
    END IF;
END
$function$;

-- Let jobs run that wait for nothing any more. Returns those that were claimed for `slots`.
CREATE OR REPLACE FUNCTION baton_promote(ready_ids bigint[], slots json DEFAULT '[]')
RETURNS bigint[]
LANGUAGE plpgsql
AS $function$
DECLARE
    moment timestamp := timezone('UTC', now());
    claimed_ids bigint[];
    claimants jsonb;
    notified bigint;
BEGIN
    WITH ready AS MATERIALIZED (
        SELECT job.id, job.queue, job.priority,
            row_number() OVER (PARTITION BY job.queue, job.priority ORDER BY job.scheduled_at, job.id) AS place
        FROM oban_jobs AS job
        WHERE job.id = ANY(ready_ids)
            AND job.state = 'suspended'
            AND job.scheduled_at <= moment
            AND job.attempt < job.max_attempts
    )
    SELECT coalesce(array_agg(ready.id), '{}'), coalesce(jsonb_object_agg(slot.queue, to_jsonb(slot.by)), '{}')
    INTO claimed_ids, claimants
    FROM json_to_recordset(slots) AS slot(queue text, priority smallint, places integer, by text[])
    JOIN ready ON ready.queue = slot.queue AND ready.priority = slot.priority AND ready.place <= slot.places;

    WITH promoted AS (
        UPDATE oban_jobs AS job
        SET state = CASE
                WHEN job.id = ANY(claimed_ids) THEN 'executing'
                WHEN job.scheduled_at > moment THEN 'scheduled'
                ELSE 'available'
            END::oban_job_state,
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
            SELECT count(pg_notify(current_schema() || '.oban_insert', json_build_object('queue', queues.queue)::text))
            FROM (SELECT DISTINCT queue FROM promoted WHERE state = 'available') AS queues
        )
    INTO claimed_ids, notified;
    RETURN claimed_ids;
END
$function$;

-- What follows from nodes that have just settled: their downstreams wait for fewer, those that wait for none may run,
-- maps expand and conclude, and a workflow whose last node settled has ended. `maps` wait for nothing any more besides,
-- and `windows` are roots of maps that may have room. Returns the jobs that were claimed for `slots`.
CREATE OR REPLACE FUNCTION baton_spread(
    settled bigint[], slots json DEFAULT '[]', maps bigint[] DEFAULT NULL, windows bigint[] DEFAULT NULL
)
RETURNS bigint[]
LANGUAGE plpgsql
AS $function$
DECLARE
    frontier bigint[] := settled;
    below_ids bigint[];
    fewer jsonb;
    places jsonb;
    ready bigint[];
    ready_maps bigint[] := maps;
    waiting bigint[];
    done bigint[];
    concluded bigint[];
    expansion record;
    claimed_ids bigint[];
    workflow_ids text[];
    ends jsonb;
BEGIN
    LOOP -- once, unless maps expand or conclude by it
        concluded := NULL;

        SELECT array_agg(counts.id ORDER BY counts.id),
            jsonb_object_agg(counts.id, jsonb_build_array(counts.upstreams, counts.children)),
            jsonb_object_agg(counts.root_id, counts.places) FILTER (WHERE counts.places > 0)
        INTO below_ids, fewer, places
        FROM (
            SELECT below.id,
                count(*) FILTER (WHERE NOT below.is_parent) AS upstreams,
                count(*) FILTER (WHERE below.is_parent) AS children,
                max(node.root_id) FILTER (WHERE below.is_parent) AS root_id,
                count(*) FILTER (WHERE below.is_parent AND NOT node.held) AS places
            FROM workflow_nodes AS node
            CROSS JOIN LATERAL (
                SELECT unnest(node.downstreams), false
                UNION ALL
                SELECT node.map_id, true WHERE node.map_id IS NOT NULL
            ) AS below(id, is_parent)
            WHERE node.oban_job_id = ANY(frontier)
                AND CASE
                    WHEN below.is_parent THEN true
                    -- what maps over an expanded map has been told when that was expanded
                    WHEN node.outcome = 'completed' AND node.items IS NULL THEN true
                    ELSE (
                        SELECT NOT (follower.is_map AND node.oban_job_id = ANY(follower.sources)) AND baton_permits(
                            node.outcome,
                            follower.ignore_cancelled,
                            follower.ignore_discarded,
                            follower.optional && ARRAY[node.oban_job_id, 0]
                        )
                        FROM workflow_nodes AS follower WHERE follower.oban_job_id = below.id
                    )
                END
            GROUP BY below.id
        ) AS counts;

        IF below_ids IS NOT NULL THEN
            PERFORM 1 FROM workflow_nodes WHERE oban_job_id = ANY(below_ids) ORDER BY oban_job_id FOR NO KEY UPDATE;

            WITH counted AS (
                UPDATE workflow_nodes
                SET pending = pending - (fewer -> oban_job_id::text ->> (items IS NOT NULL)::integer)::integer
                WHERE oban_job_id = ANY(below_ids) AND outcome IS NULL
                RETURNING oban_job_id, pending, is_map, held, root_id
            )
            SELECT ready || array_agg(oban_job_id) FILTER (WHERE pending = 0 AND NOT is_map),
                ready_maps || array_agg(oban_job_id) FILTER (WHERE pending = 0 AND is_map),
                windows || array_agg(DISTINCT root_id) FILTER (WHERE pending = 1 AND held)
            INTO ready, ready_maps, windows
            FROM counted;
        END IF;

        IF ready_maps IS NOT NULL THEN
            SELECT array_agg(oban_job_id) FILTER (WHERE items IS NULL),
                array_agg(oban_job_id) FILTER (WHERE items IS NOT NULL)
            INTO waiting, done
            FROM workflow_nodes WHERE oban_job_id = ANY(ready_maps) AND outcome IS NULL;
            ready_maps := NULL;
            -- In this order: what a new child waits for is counted when that concludes, not twice.
            IF waiting IS NOT NULL THEN
                expansion := baton_expand(waiting);
                concluded := expansion.ended || baton_follow(expansion.failing);
                ready_maps := expansion.further;
                windows := windows || expansion.windows;
            END IF;
            IF done IS NOT NULL THEN
                PERFORM baton_conclude(done);
                concluded := concluded || done;
            END IF;
        END IF;

        IF places IS NOT NULL THEN
            UPDATE workflow_nodes SET in_flight = in_flight - (places ->> oban_job_id::text)::integer
            WHERE oban_job_id = ANY(ARRAY(SELECT jsonb_object_keys(places)::bigint));
            windows := windows || ARRAY(SELECT jsonb_object_keys(places)::bigint);
        END IF;
        frontier := CASE WHEN concluded IS NOT NULL THEN concluded || baton_follow(concluded) END;
        settled := settled || frontier;
        EXIT WHEN frontier IS NULL AND ready_maps IS NULL;
    END LOOP;

    -- Only now: an item that a later round let go may come before those of an earlier one.
    IF windows IS NOT NULL THEN
        ready := ready || baton_release(ARRAY(SELECT DISTINCT unnest(windows)));
    END IF;
    IF ready IS NOT NULL THEN
        claimed_ids := baton_promote(ready, slots);
    END IF;

    SELECT array_agg(counts.workflow_id ORDER BY counts.workflow_id),
        jsonb_object_agg(counts.workflow_id, jsonb_build_array(counts.nodes, counts.cancelled, counts.discarded))
    INTO workflow_ids, ends
    FROM (
        SELECT workflow_id,
            count(*) AS nodes,
            count(*) FILTER (WHERE outcome = 'cancelled') AS cancelled,
            count(*) FILTER (WHERE outcome = 'discarded') AS discarded
        FROM workflow_nodes
        WHERE oban_job_id = ANY(settled) AND map_id IS NULL -- what becomes of items is their map's to tell
        GROUP BY workflow_id
    ) AS counts;

    IF cardinality(workflow_ids) > 1 THEN -- one row needs no order
        PERFORM 1 FROM baton_workflows WHERE workflow_id = ANY(workflow_ids) ORDER BY workflow_id FOR NO KEY UPDATE;
    END IF;

    WITH counted AS (
        UPDATE baton_workflows
        SET unsettled = unsettled - (ends -> workflow_id ->> 0)::integer,
            cancelled = cancelled + (ends -> workflow_id ->> 1)::integer,
            discarded = discarded + (ends -> workflow_id ->> 2)::integer,
            settled_at = CASE WHEN unsettled = (ends -> workflow_id ->> 0)::integer THEN now() END,
            outcome = CASE
                WHEN unsettled > (ends -> workflow_id ->> 0)::integer THEN NULL
                WHEN discarded + (ends -> workflow_id ->> 2)::integer > 0 THEN 'discarded'
                WHEN cancelled + (ends -> workflow_id ->> 1)::integer > 0 THEN 'cancelled'
                ELSE 'completed'
            END
        WHERE workflow_id = ANY(workflow_ids)
        RETURNING workflow_id, outcome
    )
    SELECT array_agg(workflow_id) INTO workflow_ids FROM counted WHERE outcome IS NOT NULL;
    IF workflow_ids IS NOT NULL THEN
        PERFORM baton_announce(workflow_ids);
    END IF;
    RETURN claimed_ids;
END
$function$;
