-- Insert a workflow: its row, a job and a node for each step. Steps come in topological order; edges refer to them by
-- their position, from 1; a negative one says that the upstream may be skipped without the step being skipped with it.
-- What many steps share is given once, as a template. `maps` says which steps are maps, and what of; 0 among their
-- `sources` stands for the value in `item`. `signatures` is what the fingerprint `code` stands for, as JSON:
-- text, since it is read only if no workflow of that code was inserted before.
CREATE OR REPLACE FUNCTION baton.baton_insert(
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
SET search_path TO pg_catalog, pg_temp
AS $function$
#variable_conflict use_column
DECLARE
    installed integer := (SELECT max(version) FROM baton.baton_migrations);
    ids bigint[];
    job_sequence regclass := pg_get_serial_sequence('baton.oban_jobs', 'id')::regclass;
    moment timestamp := timezone('UTC', now());
    notified bigint;
BEGIN
    IF installed < schema_version THEN
        -- no percent sign: Alembic would write it twice into an offline script
        RAISE EXCEPTION USING ERRCODE = 'BT405', MESSAGE =
            'the schema of baton-dsl is of version ' || installed || ', the library needs ' || schema_version;
    END IF;

    INSERT INTO baton.baton_workflows (workflow_id, workflow_label, flow_name, inputs, unsettled, hooks, fingerprint)
    VALUES (id, label, flow, given_inputs::json, cardinality(template), hooks_to_be::jsonb, code)
    ON CONFLICT DO NOTHING;
    IF NOT FOUND THEN
        RETURN NULL; -- no error: the caller's transaction goes on
    END IF;

    INSERT INTO baton.baton_flows (fingerprint, signatures)
    SELECT code, signatures::json
    WHERE NOT EXISTS (SELECT FROM baton.baton_flows AS known WHERE known.fingerprint = code);

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
        INSERT INTO baton.oban_jobs (
            id, state, queue, worker, args, meta, tags, max_attempts, priority, inserted_at, scheduled_at
        )
        OVERRIDING SYSTEM VALUE
        SELECT
            steps.job_id,
            CASE
                WHEN above.position IS NOT NULL THEN 'suspended'
                WHEN steps.scheduled_at > moment THEN 'scheduled'
                ELSE 'available'
            END::baton.oban_job_state,
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
    ),
    nodes AS (
        INSERT INTO baton.workflow_nodes (
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
    SELECT count(pg_notify('baton.oban_insert', json_build_object('queue', queues.queue)::text))
    INTO notified
    FROM (
        SELECT DISTINCT steps.queue -- not what the insert returns: who may only insert may not read
        FROM steps
        LEFT JOIN above USING (position)
        LEFT JOIN map USING (position)
        WHERE above.position IS NULL AND map.position IS NULL
            AND (steps.scheduled_at IS NULL OR steps.scheduled_at <= moment)
    ) AS queues;

    IF json_array_length(maps) > 0 THEN
        PERFORM baton.baton_begin_maps(id);
    END IF;
    RETURN ids;
END
$function$;
