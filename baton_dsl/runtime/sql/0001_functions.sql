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

-- Insert a workflow: its row, a job and a node for each step. Steps come in topological order; edges refer to them by
-- their position, from 1; a negative one says that the upstream may be skipped without the step being skipped with it.
-- What many steps share is given once, as a template. `maps` says which steps are maps, and what of; 0 among their
-- `sources` stands for the value in `item`. `signatures` is what the fingerprint `code` stands for, as JSON:
-- text, since it is read only if no workflow of that code was inserted before.
CREATE OR REPLACE FUNCTION baton_insert(
    schema_version integer,
    id text,
    label text,
    flow text,
    given_inputs text,
    is_debug boolean,
    names json,
    args json,
    template integer[],
    edge_from integer[],
    edge_to integer[],
    templates json,
    maps json,
    hooks_to_be json,
    code text,
    signatures text
) RETURNS bigint[]
LANGUAGE plpgsql
SET search_path FROM CURRENT
AS $function$
#variable_conflict use_column
DECLARE
    installed integer := (SELECT max(version) FROM baton_migrations);
    ids bigint[];
    job_sequence regclass := pg_get_serial_sequence('oban_jobs', 'id')::regclass;
    moment timestamp := timezone('UTC', now());
    notified bigint;
BEGIN
    IF installed IS DISTINCT FROM schema_version THEN
        -- no percent sign: Alembic would write it twice into an offline script
        RAISE EXCEPTION USING ERRCODE = 'BT405', MESSAGE =
            'the schema of baton-dsl is of version ' || installed || ', the library needs ' || schema_version;
    END IF;

    INSERT INTO baton_workflows (workflow_id, workflow_label, flow_name, inputs, unsettled, hooks, fingerprint)
    VALUES (id, label, flow, given_inputs::json, cardinality(template), hooks_to_be::jsonb, code)
    ON CONFLICT DO NOTHING;
    IF NOT FOUND THEN
        RETURN NULL; -- no error: the caller's transaction goes on
    END IF;

    INSERT INTO baton_flows (fingerprint, signatures)
    SELECT code, signatures::json
    WHERE NOT EXISTS (SELECT FROM baton_flows AS known WHERE known.fingerprint = code);

    ids := ARRAY(SELECT nextval(job_sequence) FROM generate_series(1, cardinality(template)));

    WITH shape AS MATERIALIZED (
        SELECT *
        FROM json_to_recordset(templates) AS shape(
            number integer, worker text, queue text, max_attempts smallint, priority smallint, tags text[],
            scheduled_at timestamp, meta jsonb, ignore_cancelled boolean, ignore_discarded boolean
        )
    ),
    steps AS MATERIALIZED (
        SELECT ids[given.position] AS job_id, given.name, given.args, given.position, shape.*
        FROM ROWS FROM (json_array_elements_text(names), json_array_elements(args), unnest(template))
            WITH ORDINALITY AS given(name, args, number, position)
        JOIN shape USING (number)
    ),
    above AS MATERIALIZED (
        SELECT edge.downstream AS position, array_agg(steps.job_id) AS upstreams, array_agg(steps.name) AS deps,
            CASE
                WHEN bool_and(edge.upstream < 0) THEN '{0}'
                ELSE array_agg(steps.job_id) FILTER (WHERE edge.upstream < 0)
            END AS optional
        FROM unnest(edge_from, edge_to) AS edge(upstream, downstream)
        JOIN steps ON steps.position = abs(edge.upstream)
        GROUP BY edge.downstream
    ),
    below AS MATERIALIZED (
        SELECT abs(edge.upstream) AS position, array_agg(ids[edge.downstream]) AS downstreams
        FROM unnest(edge_from, edge_to) AS edge(upstream, downstream)
        GROUP BY abs(edge.upstream)
    ),
    map AS MATERIALIZED (
        SELECT map.position, map.levels, map.parameters, map.item,
            ARRAY(SELECT coalesce(ids[source], 0) FROM unnest(map.sources) AS source) AS sources,
            ARRAY(SELECT ids[other] FROM unnest(map.beside) AS other)
                || CASE WHEN steps.args::text <> '{}' THEN ARRAY[-steps.job_id] ELSE '{}' END AS beside,
            map.rules || jsonb_build_object(
                'args', steps.args,
                'queue', steps.queue,
                'max_attempts', steps.max_attempts,
                'priority', steps.priority,
                'tags', coalesce(steps.tags, '{}'),
                'scheduled_at', steps.scheduled_at,
                'meta', CASE WHEN is_debug THEN '{"workflow_debug": true}'::jsonb ELSE '{}'::jsonb END
            ) AS mapping
        FROM json_to_recordset(maps) AS map(
            position integer, levels smallint, parameters text[], sources integer[], item json, beside integer[],
            rules jsonb
        )
        JOIN steps USING (position)
    ),
    jobs AS (
        INSERT INTO oban_jobs (
            id, state, queue, worker, args, meta, tags, max_attempts, priority, inserted_at, scheduled_at
        )
        OVERRIDING SYSTEM VALUE
        SELECT
            steps.job_id,
            CASE
                WHEN above.position IS NOT NULL THEN 'suspended'
                WHEN steps.scheduled_at > moment THEN 'scheduled'
                ELSE 'available'
            END::oban_job_state,
            steps.queue,
            steps.worker,
            steps.args::jsonb,
            jsonb_build_object('workflow_id', id, 'workflow_name', steps.name, 'workflow_label', label)
                || CASE WHEN is_debug THEN '{"workflow_debug": true}'::jsonb ELSE '{}'::jsonb END
                || coalesce(steps.meta, '{}'::jsonb),
            coalesce(steps.tags, '{}'),
            steps.max_attempts,
            steps.priority,
            moment,
            coalesce(steps.scheduled_at, moment)
        FROM steps
        LEFT JOIN above USING (position)
        LEFT JOIN map USING (position)
        WHERE map.position IS NULL
        RETURNING queue, state
    ),
    nodes AS (
        INSERT INTO workflow_nodes (
            oban_job_id, workflow_id, workflow_label, step_name, worker, deps, upstreams, downstreams, pending,
            ignore_cancelled, ignore_discarded, optional, is_map, levels, root_id, parameters, sources, item, beside,
            mapping
        )
        SELECT
            steps.job_id,
            id,
            label,
            steps.name,
            steps.worker,
            coalesce(above.deps, '{}'),
            coalesce(above.upstreams, '{}'),
            coalesce(below.downstreams, '{}'),
            coalesce(cardinality(above.upstreams), 0),
            steps.ignore_cancelled,
            steps.ignore_discarded,
            above.optional,
            map.position IS NOT NULL,
            map.levels,
            CASE WHEN map.position IS NOT NULL THEN steps.job_id END,
            map.parameters,
            map.sources,
            map.item,
            map.beside,
            map.mapping
        FROM steps
        LEFT JOIN above USING (position)
        LEFT JOIN below USING (position)
        LEFT JOIN map USING (position)
    )
    SELECT count(pg_notify(current_schema() || '.oban_insert', json_build_object('queue', queues.queue)::text))
    INTO notified
    FROM (SELECT DISTINCT queue FROM jobs WHERE state = 'available') AS queues;

    IF json_array_length(maps) > 0 THEN
        PERFORM baton_spread('{}', '[]', ARRAY(
            SELECT oban_job_id FROM workflow_nodes WHERE workflow_id = id AND is_map AND pending = 0
        ));
    END IF;
    RETURN ids;
END
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
    acked_ids bigint[];
    claimed_ids bigint[];
BEGIN
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
    SELECT array_agg(oban_job_id), array_agg(oban_job_id) FILTER (WHERE outcome = 'skipped')
    INTO settled, skipped
    FROM own;

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

-- Put jobs back that were started by hand before their upstreams had settled: they were never attempted.
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
BEGIN
    -- The lock on the node keeps a settle from counting down to zero between the look and the update.
    PERFORM 1 FROM workflow_nodes WHERE oban_job_id = ANY(job_ids) ORDER BY oban_job_id FOR NO KEY UPDATE;

    UPDATE oban_jobs AS job
    SET state = CASE WHEN node.pending > 0 THEN 'suspended' ELSE 'available' END::oban_job_state,
        attempt = job.attempt - 1
    FROM workflow_nodes AS node
    WHERE job.id = ANY(job_ids)
        AND node.oban_job_id = job.id
        AND job.state = 'executing'
        AND job.attempt = attempts[array_position(job_ids, job.id)]
        AND node.outcome IS NULL;
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
-- maps expand and conclude, and a workflow whose last node settled has ended. `maps` wait for nothing any more besides.
-- Returns the jobs that were claimed for `slots`.
CREATE OR REPLACE FUNCTION baton_spread(settled bigint[], slots json DEFAULT '[]', maps bigint[] DEFAULT NULL)
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
    windows bigint[];
    waiting bigint[];
    done bigint[];
    concluded bigint[];
    expansion record;
    claimed_now bigint[];
    claimed_ids bigint[];
    workflow_ids text[];
    ends jsonb;
BEGIN
    LOOP -- once, unless maps expand or conclude by it
        ready := NULL;
        windows := NULL;
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
                        SELECT CASE
                                WHEN follower.is_map AND node.oban_job_id = ANY(follower.sources) THEN false
                                WHEN node.outcome = 'completed' THEN true
                                WHEN node.outcome = 'cancelled' THEN follower.ignore_cancelled
                                WHEN node.outcome = 'discarded' THEN follower.ignore_discarded
                                ELSE follower.optional && ARRAY[node.oban_job_id, 0]
                            END
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
            SELECT array_agg(oban_job_id) FILTER (WHERE pending = 0 AND NOT is_map),
                ready_maps || array_agg(oban_job_id) FILTER (WHERE pending = 0 AND is_map),
                array_agg(DISTINCT root_id) FILTER (WHERE pending = 1 AND held)
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
        IF windows IS NOT NULL THEN
            ready := ready || baton_release(ARRAY(SELECT DISTINCT unnest(windows)));
        END IF;

        IF ready IS NOT NULL THEN
            claimed_now := baton_promote(ready, slots);
            IF claimed_now IS NOT NULL THEN
                claimed_ids := claimed_ids || claimed_now;
                slots := '[]'; -- a place is taken once
            END IF;
        END IF;

        frontier := CASE WHEN concluded IS NOT NULL THEN concluded || baton_follow(concluded) END;
        settled := settled || frontier;
        EXIT WHEN frontier IS NULL AND ready_maps IS NULL;
    END LOOP;

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
BEGIN
    WITH own AS (
        UPDATE workflow_nodes SET outcome = how, updated_at = now()
        WHERE oban_job_id = ANY(job_ids) AND outcome IS NULL
        RETURNING oban_job_id
    )
    SELECT array_agg(oban_job_id) INTO ended FROM own;
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
                WHEN reached.outcome = 'discarded' THEN NOT node.ignore_discarded
                WHEN reached.outcome = 'cancelled' THEN NOT node.ignore_cancelled
                ELSE NOT coalesce(node.optional && ARRAY[above.oban_job_id, 0], false)
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
        errors = job.errors || jsonb_build_object(
            'attempt', job.attempt,
            'at', to_char(timezone('UTC', now()), 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
            'error', reason
        )
    WHERE job.id = ANY(job_ids) AND job.state IN ('suspended', 'scheduled', 'available', 'retryable');
END
$function$;

-- Bring a workflow in line with jobs that somebody has retried after they were cancelled or discarded: their nodes live
-- again, and so does what was cancelled only because of them. A retry that can't help, because an upstream of the job is
-- cancelled or discarded still, is undone. A completed node stays settled.
--
-- One call does it for all jobs of the workflow. That is rare, and what may live depends on the whole graph: so it locks
-- all nodes of the workflow.
CREATE OR REPLACE FUNCTION baton_revive(id text)
RETURNS void
LANGUAGE plpgsql
SET search_path FROM CURRENT
SET baton.settling = 'on'
SET enable_hashjoin = off -- the walk through the graph looks up a few nodes a step, by their keys
SET enable_mergejoin = off
AS $function$
#variable_conflict use_column
DECLARE
    workflow text := id;
    was_settled boolean;
    doomed bigint[];
    alive bigint[] := '{}';
    more bigint[];
    followed bigint[];
BEGIN
    PERFORM 1 FROM workflow_nodes WHERE workflow_id = workflow ORDER BY oban_job_id FOR NO KEY UPDATE;

    was_settled := (SELECT outcome IS NOT NULL FROM baton_workflows WHERE workflow_id = workflow);

    -- An origin is a node that ended by itself and stays so; a job that is gone can't come back. A node that has not
    -- settled may be reached too: what it ignored as discarded is cancelled now. One whose job has ended, or is gone,
    -- was changed by the same statement as ours and settles by itself. A map that has expanded lives as long as a child
    -- of it does, and what lives below it may be a child of another: so it is asked again until no more come alive.
    LOOP
        WITH RECURSIVE ended AS NOT MATERIALIZED (
            SELECT node.*,
                CASE
                    WHEN node.is_map THEN
                        node.outcome IS NOT NULL AND NOT node.by_upstream AND node.oban_job_id <> ALL(alive)
                    ELSE job.id IS NULL OR (
                        (node.outcome IS NULL OR NOT node.by_upstream)
                        AND job.state IN ('completed', 'cancelled', 'discarded')
                    )
                END AS is_origin
            FROM workflow_nodes AS node
            LEFT JOIN oban_jobs AS job ON job.id = node.oban_job_id
            WHERE node.outcome IS NULL OR node.outcome IN ('cancelled', 'discarded')
        ),
        reached(id) AS (
            SELECT node.oban_job_id
            FROM ended AS origin
            CROSS JOIN unnest(origin.downstreams) AS below(id)
            JOIN ended AS node ON node.oban_job_id = below.id
            WHERE origin.workflow_id = workflow
                AND origin.is_origin
                AND origin.outcome IS NOT NULL
                AND NOT node.is_origin
                AND node.items IS NULL
                AND CASE
                    WHEN node.is_map AND origin.oban_job_id = ANY(node.sources) THEN origin.items IS NULL
                    WHEN origin.outcome = 'discarded' THEN NOT node.ignore_discarded
                    ELSE NOT node.ignore_cancelled
                END
            UNION
            SELECT node.oban_job_id
            FROM reached
            JOIN workflow_nodes AS above ON above.oban_job_id = reached.id
            CROSS JOIN unnest(above.downstreams) AS below(id)
            JOIN ended AS node ON node.oban_job_id = below.id
            WHERE NOT node.is_origin
                AND node.items IS NULL
                AND (NOT node.ignore_cancelled OR (node.is_map AND above.oban_job_id = ANY(node.sources)))
        ),
        living AS (
            SELECT node.map_id
            FROM ended AS node
            WHERE node.workflow_id = workflow
                AND node.map_id IS NOT NULL
                AND (node.outcome IS NULL OR NOT node.is_origin)
                AND node.oban_job_id NOT IN (SELECT reached.id FROM reached)
        )
        SELECT
            coalesce((SELECT array_agg(reached.id) FROM reached), '{}'),
            (
                SELECT array_agg(map.oban_job_id)
                FROM living
                JOIN workflow_nodes AS map ON map.oban_job_id = living.map_id
                WHERE map.outcome IN ('cancelled', 'discarded') AND map.oban_job_id <> ALL(alive)
            )
        INTO doomed, more;
        EXIT WHEN more IS NULL;
        alive := alive || more;
    END LOOP;

    UPDATE workflow_nodes SET outcome = 'cancelled', by_upstream = true WHERE oban_job_id = ANY(doomed);
    PERFORM baton_cancel_jobs(doomed, 'BTN507: cancelled again, since an upstream is cancelled or discarded still');

    UPDATE workflow_nodes AS node
    SET outcome = NULL,
        by_upstream = false,
        reason = NULL,
        held = CASE WHEN node.held IS NOT NULL THEN true END,
        updated_at = now()
    FROM workflow_nodes AS same
    LEFT JOIN oban_jobs AS job ON job.id = same.oban_job_id
    WHERE same.workflow_id = workflow
        AND same.outcome IN ('cancelled', 'discarded')
        AND node.oban_job_id = same.oban_job_id
        AND CASE
            WHEN same.is_map THEN same.by_upstream OR same.oban_job_id = ANY(alive)
            ELSE job.id IS NOT NULL
                AND (same.by_upstream OR job.state NOT IN ('completed', 'cancelled', 'discarded'))
        END
        AND NOT EXISTS (SELECT FROM unnest(doomed) AS reached(id) WHERE reached.id = node.oban_job_id);

    PERFORM baton_recount(workflow);

    IF NOT was_settled AND EXISTS (SELECT FROM baton_workflows WHERE workflow_id = workflow AND outcome IS NOT NULL) THEN
        PERFORM baton_announce(ARRAY[workflow]);
    END IF;

    UPDATE oban_jobs AS job
    SET state = 'suspended',
        max_attempts = greatest(job.max_attempts, job.attempt + 1),
        completed_at = NULL,
        cancelled_at = NULL,
        discarded_at = NULL
    FROM workflow_nodes AS node
    WHERE node.workflow_id = workflow
        AND node.outcome IS NULL
        AND job.id = node.oban_job_id
        AND (
            job.state IN ('completed', 'cancelled', 'discarded')
            OR (node.pending > 0 AND job.state IN ('scheduled', 'available', 'retryable'))
        );

    UPDATE baton_workflows SET stopped_at = NULL WHERE workflow_id = workflow;

    -- What lives again may need the result of a node that was skipped.
    followed := baton_follow(ARRAY(
        SELECT oban_job_id FROM workflow_nodes WHERE workflow_id = workflow AND outcome = 'skipped'
    ));
    PERFORM baton_start(ARRAY[workflow], followed);
END
$function$;

-- Count anew what the nodes of a workflow wait for, how many items of a window run, and how its nodes have ended.
CREATE OR REPLACE FUNCTION baton_recount(id text)
RETURNS void
LANGUAGE plpgsql
AS $function$
#variable_conflict use_column
DECLARE
    workflow text := id;
BEGIN
    UPDATE workflow_nodes AS node
    SET pending = waits.pending
    FROM (
        SELECT waiting.oban_job_id,
            CASE
                WHEN waiting.items IS NULL THEN count(upstream.oban_job_id) FILTER (
                    WHERE NOT coalesce(
                        CASE
                            WHEN waiting.is_map AND upstream.oban_job_id = ANY(waiting.sources) THEN
                                upstream.items IS NOT NULL OR (upstream.outcome = 'completed' AND NOT upstream.is_map)
                            WHEN upstream.outcome = 'completed' THEN true
                            WHEN upstream.outcome = 'cancelled' THEN waiting.ignore_cancelled
                            WHEN upstream.outcome = 'discarded' THEN waiting.ignore_discarded
                            WHEN upstream.outcome = 'skipped' THEN
                                waiting.optional && ARRAY[upstream.oban_job_id, 0]
                        END,
                        false
                    )
                )
                ELSE (
                    SELECT count(*) FROM workflow_nodes AS child
                    WHERE child.map_id = waiting.oban_job_id AND child.outcome IS NULL
                )
            END
            + coalesce(waiting.held, false)::integer
            + (SELECT (paused_at IS NOT NULL)::integer FROM baton_workflows WHERE workflow_id = workflow) AS pending
        FROM workflow_nodes AS waiting
        LEFT JOIN LATERAL unnest(waiting.upstreams) AS above(id) ON true
        LEFT JOIN workflow_nodes AS upstream ON upstream.oban_job_id = above.id
        WHERE waiting.workflow_id = workflow AND waiting.outcome IS NULL
        GROUP BY waiting.oban_job_id
    ) AS waits
    WHERE node.oban_job_id = waits.oban_job_id AND node.pending <> waits.pending;

    UPDATE workflow_nodes AS root
    SET in_flight = (
        SELECT count(*) FROM workflow_nodes AS item
        WHERE item.workflow_id = workflow AND item.root_id = root.oban_job_id AND NOT item.held AND item.outcome IS NULL
    )
    WHERE root.workflow_id = workflow AND root.in_flight IS NOT NULL AND root.mapping ? 'max_concurrency';

    UPDATE baton_workflows AS workflow_row
    SET unsettled = counts.unsettled,
        cancelled = counts.cancelled,
        discarded = counts.discarded,
        outcome = CASE
            WHEN counts.unsettled > 0 THEN NULL
            WHEN counts.discarded > 0 THEN 'discarded'
            WHEN counts.cancelled > 0 THEN 'cancelled'
            ELSE 'completed'
        END,
        settled_at = CASE WHEN counts.unsettled = 0 THEN coalesce(workflow_row.settled_at, now()) END
    FROM (
        SELECT (count(*) FILTER (WHERE outcome IS NULL))::integer AS unsettled,
            (count(*) FILTER (WHERE outcome = 'cancelled'))::integer AS cancelled,
            (count(*) FILTER (WHERE outcome = 'discarded'))::integer AS discarded
        FROM workflow_nodes WHERE workflow_id = workflow AND map_id IS NULL
    ) AS counts
    WHERE workflow_row.workflow_id = workflow;
END
$function$;

-- Let all of some workflows go on that waits for nothing, and tell what follows from nodes that have settled.
CREATE OR REPLACE FUNCTION baton_start(workflow_ids text[], settled bigint[] DEFAULT NULL)
RETURNS void
LANGUAGE plpgsql
AS $function$
DECLARE
    ready bigint[];
    maps bigint[];
    windows bigint[];
BEGIN
    SELECT array_agg(oban_job_id) FILTER (WHERE pending = 0 AND NOT is_map),
        array_agg(oban_job_id) FILTER (WHERE pending = 0 AND is_map),
        array_agg(DISTINCT root_id) FILTER (WHERE pending = 1 AND held)
    INTO ready, maps, windows
    FROM workflow_nodes WHERE workflow_id = ANY(workflow_ids) AND outcome IS NULL;

    IF windows IS NOT NULL THEN
        ready := ready || baton_release(windows);
    END IF;
    PERFORM baton_promote(ready);
    IF settled IS NOT NULL OR maps IS NOT NULL THEN
        PERFORM baton_spread(coalesce(settled, '{}'), '[]', maps);
    END IF;
END
$function$;

-- A job was returned to its queue, after an attempt or by hand. It may not run now if its node waits for something, if
-- its workflow was cancelled while it ran, or if its node was.
CREATE OR REPLACE FUNCTION baton_return(job_id bigint)
RETURNS void
LANGUAGE plpgsql
SET search_path FROM CURRENT
SET baton.settling = 'on'
SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off
SET jit = off
AS $function$
DECLARE
    node record;
BEGIN
    -- The lock keeps a settle from counting down to zero between the look and the update.
    SELECT waiting.pending, waiting.outcome, workflow.stopped_at INTO node
    FROM workflow_nodes AS waiting
    JOIN baton_workflows AS workflow USING (workflow_id)
    WHERE waiting.oban_job_id = job_id
    FOR NO KEY UPDATE OF waiting;

    IF node.outcome IN ('cancelled', 'discarded', 'skipped') THEN
        PERFORM baton_cancel_jobs(ARRAY[job_id], 'BTN507: cancelled, since its node was ' || node.outcome);
    ELSIF node.outcome IS NULL AND node.stopped_at IS NOT NULL THEN
        PERFORM baton_cancel_jobs(ARRAY[job_id], 'BTN507: cancelled, since its workflow was');
        PERFORM baton_end(ARRAY[job_id], 'cancelled');
    ELSIF node.outcome IS NULL AND node.pending > 0 THEN
        UPDATE oban_jobs SET state = 'suspended' WHERE id = job_id;
    END IF;
END
$function$;

-- Whoever changes the state of a job, its node follows in the same transaction: Oban's own ack of a plain worker,
-- Oban Web, the lifeline, a worker in another language, psql.
CREATE OR REPLACE FUNCTION baton_job_changed()
RETURNS trigger
LANGUAGE plpgsql
SET search_path FROM CURRENT
AS $function$
BEGIN
    IF TG_OP = 'DELETE' THEN
        PERFORM baton_end(ARRAY[OLD.id], 'cancelled');
    ELSIF NEW.state = OLD.state OR current_setting('baton.settling', true) = 'on' THEN
        NULL; -- who settles knows
    ELSIF OLD.state = 'executing'
        AND current_setting('baton.rescuing', true) IS DISTINCT FROM 'on'
        AND (
            (NEW.state = 'available' AND NEW.meta -> 'rescued' IS DISTINCT FROM OLD.meta -> 'rescued')
            OR (
                NEW.state = 'discarded'
                AND NEW.errors = OLD.errors
                AND position('''rescued''' IN current_query()) > 0
            )
        )
    THEN
        -- Oban's lifeline takes every job that has run for five minutes for an orphan. Steps are left to baton_rescue, so
        -- the row is put back. The lifeline is told by its statement: it counts rescues in `meta`, and so names them when
        -- it discards a last attempt.
        UPDATE oban_jobs SET state = OLD.state, meta = OLD.meta, discarded_at = OLD.discarded_at WHERE id = OLD.id;
    ELSIF NEW.state IN ('completed', 'cancelled', 'discarded') THEN
        PERFORM baton_end(ARRAY[NEW.id], NEW.state::text);
    ELSIF OLD.state IN ('completed', 'cancelled', 'discarded') THEN
        -- The first of the jobs that one statement has retried does it for all of them.
        PERFORM baton_revive(node.workflow_id)
        FROM workflow_nodes AS node
        JOIN oban_jobs AS job ON job.id = node.oban_job_id
        WHERE node.oban_job_id = NEW.id
            AND node.outcome IN ('cancelled', 'discarded')
            AND job.state NOT IN ('completed', 'cancelled', 'discarded');
        PERFORM baton_cancel_jobs(ARRAY[NEW.id], 'BTN512: skipped, since an upstream was')
        FROM workflow_nodes AS node
        WHERE node.oban_job_id = NEW.id AND node.outcome = 'skipped' AND node.by_upstream;
    ELSIF NEW.state IN ('scheduled', 'available', 'retryable') AND OLD.state IN ('executing', 'suspended') THEN
        PERFORM baton_return(NEW.id);
    END IF;
    RETURN NULL;
END
$function$;

-- One trigger, with a short condition: PostgreSQL parses the conditions of all triggers anew for each statement, and
-- Oban acknowledges each job with one. So what kind of change it was is told apart in the function, for steps only.
CREATE OR REPLACE TRIGGER baton_job_changed
AFTER UPDATE OF state ON oban_jobs
FOR EACH ROW
WHEN (NEW.meta ? 'workflow_id')
EXECUTE FUNCTION baton_job_changed();

CREATE OR REPLACE TRIGGER baton_job_deleted
AFTER DELETE ON oban_jobs
FOR EACH ROW
WHEN (
    OLD.state NOT IN ('completed', 'cancelled', 'discarded')
    AND OLD.meta ? 'workflow_id'
    AND current_setting('baton.settling', true) IS DISTINCT FROM 'on'
)
EXECUTE FUNCTION baton_job_changed();
