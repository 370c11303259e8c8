-- Expand maps that wait for nothing any more. Gives
--   ended: those that have settled by it: refused ones, as discarded, and those without items, as completed;
--   further: maps that may expand now, their children or maps over them;
--   failing: nodes that ended otherwise than completed, of which new children have to be told;
--   windows: roots that let only so many items run at once.
CREATE OR REPLACE FUNCTION baton.baton_expand(
    map_ids bigint[],
    OUT ended bigint[], OUT further bigint[], OUT failing bigint[], OUT windows bigint[]
)
LANGUAGE plpgsql
AS $function$
DECLARE
    moment timestamp := timezone('UTC', now());
    job_sequence regclass := pg_get_serial_sequence('baton.oban_jobs', 'id')::regclass;
    refused bigint[];
    reasons text[];
    sizes jsonb;
    origins bigint[];
    followers bigint[];
    fewer jsonb;
    notified bigint;
BEGIN
    -- Whether, and into how many. What is no collection, or too much, is refused before anything is made of it.
    SELECT array_agg(id) FILTER (WHERE reason IS NOT NULL),
        array_agg(reason) FILTER (WHERE reason IS NOT NULL),
        array_agg(id) FILTER (WHERE reason IS NULL),
        jsonb_object_agg(id, items) FILTER (WHERE reason IS NULL)
    INTO refused, reasons, map_ids, sizes
    FROM (
        SELECT measured.map_id AS id, measured.items,
            CASE
                WHEN measured.unfit IS NOT NULL THEN
                    'BTN509: "' || map.step_name || '" maps over what is no collection: parameter "'
                    || map.parameters[measured.unfit] || '" got ' || measured.kind
                    || '; let what it maps over be a list or a dict'
                WHEN measured.is_uneven THEN
                    'BTN509: "' || map.step_name || '" zips collections of different lengths: ' || measured.lengths
                    || '; make them equally long, or say combine="product"'
                WHEN measured.items > (root.mapping ->> 'max_items')::integer THEN
                    'BTN513: "' || map.step_name || '" would have ' || measured.items || ' items, its max_items is '
                    || (root.mapping ->> 'max_items') || '; raise max_items of the step, or map over fewer'
            END AS reason
        FROM (
            SELECT each.map_id,
                min(each.parameter) FILTER (WHERE each.size IS NULL) AS unfit,
                min(coalesce(json_typeof(each.whole), 'nothing')) FILTER (WHERE each.size IS NULL) AS kind,
                each.is_zip AND min(each.size) <> max(each.size) AS is_uneven,
                string_agg('"' || each.name || '" has ' || each.size, ', ' ORDER BY each.parameter) AS lengths,
                CASE
                    WHEN each.is_zip OR min(each.size) = 0 THEN min(each.size)
                    ELSE round(exp(sum(ln(greatest(each.size, 1)::numeric)))) -- their product
                END AS items
            FROM (
                SELECT collection.*, map.parameters[collection.parameter] AS name,
                    coalesce(root.mapping ->> 'combine', 'zip') = 'zip' AS is_zip
                FROM baton.baton_collections(map_ids) AS collection
                CROSS JOIN LATERAL (SELECT * FROM baton.workflow_nodes WHERE oban_job_id = collection.map_id OFFSET 0) AS map
                CROSS JOIN LATERAL (SELECT * FROM baton.workflow_nodes WHERE oban_job_id = map.root_id OFFSET 0) AS root
            ) AS each
            GROUP BY each.map_id, each.is_zip
        ) AS measured
        CROSS JOIN LATERAL (SELECT * FROM baton.workflow_nodes WHERE oban_job_id = measured.map_id OFFSET 0) AS map
        CROSS JOIN LATERAL (SELECT * FROM baton.workflow_nodes WHERE oban_job_id = map.root_id OFFSET 0) AS root
    ) AS judged;

    IF refused IS NOT NULL THEN
        UPDATE baton.workflow_nodes
        SET outcome = 'discarded', reason = reasons[array_position(refused, oban_job_id)], updated_at = now()
        WHERE oban_job_id = ANY(refused);
        ended := refused;
    END IF;
    IF map_ids IS NULL THEN
        RETURN;
    END IF;

    -- The children of other maps that the new ones wait for: none of them may settle unseen from here on.
    SELECT array_agg(DISTINCT source_id) INTO origins FROM baton.baton_collections(map_ids) WHERE of_map;
    IF origins IS NOT NULL THEN
        PERFORM 1 FROM baton.workflow_nodes WHERE map_id = ANY(origins) ORDER BY oban_job_id FOR NO KEY UPDATE;
    END IF;

    WITH RECURSIVE collection AS MATERIALIZED (
        SELECT * FROM baton.baton_collections(map_ids)
    ),
    element AS MATERIALIZED (
        SELECT collection.map_id, collection.parameter, collection.size, entry.number - 1 AS number,
            0::bigint AS node_id, entry.value
        FROM collection
        CROSS JOIN LATERAL baton.baton_entries(collection.whole) AS entry
        WHERE NOT collection.of_map
        UNION ALL
        SELECT collection.map_id, collection.parameter, collection.size, child.item_index, child.oban_job_id, NULL
        FROM collection
        CROSS JOIN LATERAL (
            SELECT * FROM baton.workflow_nodes WHERE workflow_nodes.map_id = collection.source_id OFFSET 0
        ) AS child
        WHERE collection.of_map
    ),
    map AS MATERIALIZED (
        SELECT found.*, root.step_name AS root_name, root.mapping AS shape,
            coalesce(root.mapping ->> 'combine', 'zip') = 'zip' AS is_zip,
            root.mapping ? 'max_concurrency' AS has_window
        FROM unnest(map_ids) AS given(id)
        CROSS JOIN LATERAL (SELECT * FROM baton.workflow_nodes WHERE oban_job_id = given.id OFFSET 0) AS found
        CROSS JOIN LATERAL (SELECT * FROM baton.workflow_nodes WHERE oban_job_id = found.root_id OFFSET 0) AS root
    ),
    combined(map_id, parameter, number, node_ids, items) AS (
        SELECT element.map_id, 1, element.number, ARRAY[element.node_id], ARRAY[element.value]
        FROM element WHERE element.parameter = 1
        UNION ALL
        SELECT combined.map_id, combined.parameter + 1,
            CASE WHEN map.is_zip THEN combined.number ELSE combined.number * element.size + element.number END,
            combined.node_ids || element.node_id,
            combined.items || element.value
        FROM combined
        JOIN map ON map.oban_job_id = combined.map_id AND combined.parameter < cardinality(map.sources)
        JOIN element ON element.map_id = combined.map_id AND element.parameter = combined.parameter + 1
            AND (NOT map.is_zip OR element.number = combined.number)
    ),
    child AS MATERIALIZED (
        SELECT nextval(job_sequence) AS id, ordered.*
        FROM (
            SELECT map.*, combined.number, combined.node_ids, array_to_json(combined.items) AS values,
                CASE
                    WHEN map.map_id IS NULL THEN map.step_name || '[' || combined.number || ']'
                    ELSE left(map.step_name, -1) || ',' || combined.number || ']'
                END AS name,
                waits.node_ids AS above_ids, waits.names AS above_names, waits.count + map.has_window::integer * (map.levels = 1)::integer AS waits,
                waits.optional AS optional_ids
            FROM combined
            JOIN map ON map.oban_job_id = combined.map_id AND combined.parameter = cardinality(map.sources)
            CROSS JOIN LATERAL (
                SELECT coalesce(array_agg(source.id), '{}') AS node_ids,
                    coalesce(array_agg(source.name), '{}') AS names,
                    array_agg(source.id) FILTER (WHERE source.is_optional) AS optional,
                    (count(*) FILTER (WHERE source.is_awaited))::integer AS count
                FROM (
                    SELECT above.oban_job_id AS id, above.step_name AS name,
                        bool_or(map.optional && ARRAY[map.sources[given.parameter], 0]) AS is_optional,
                        bool_and(
                            CASE
                                WHEN above.is_map AND map.levels > 1 THEN above.items IS NULL
                                ELSE NOT baton.baton_permits(
                                    above.outcome,
                                    map.ignore_cancelled AND map.levels = 1,
                                    map.ignore_discarded AND map.levels = 1,
                                    map.optional && ARRAY[map.sources[given.parameter], 0] AND map.levels = 1
                                )
                            END
                        ) AS is_awaited
                    FROM unnest(combined.node_ids) WITH ORDINALITY AS given(id, parameter)
                    CROSS JOIN LATERAL (SELECT * FROM baton.workflow_nodes WHERE oban_job_id = given.id OFFSET 0) AS above
                    WHERE given.id <> 0
                    GROUP BY above.oban_job_id, above.step_name
                ) AS source
            ) AS waits
            ORDER BY combined.map_id, combined.number
            OFFSET 0
        ) AS ordered
    ),
    jobs AS (
        INSERT INTO baton.oban_jobs (
            id, state, queue, worker, args, meta, tags, max_attempts, priority, inserted_at, scheduled_at
        )
        OVERRIDING SYSTEM VALUE
        SELECT
            child.id,
            CASE
                WHEN child.waits > 0 THEN 'suspended'
                WHEN (child.shape ->> 'scheduled_at')::timestamp > moment THEN 'scheduled'
                ELSE 'available'
            END::baton.oban_job_state,
            child.shape ->> 'queue',
            child.worker,
            '{}',
            jsonb_build_object(
                'workflow_id', child.workflow_id, 'workflow_name', child.name, 'workflow_label', child.workflow_label
            ) || coalesce(child.shape -> 'meta', '{}'),
            ARRAY(SELECT jsonb_array_elements_text(child.shape -> 'tags')),
            (child.shape ->> 'max_attempts')::smallint,
            (child.shape ->> 'priority')::smallint,
            moment,
            greatest(moment, (child.shape ->> 'scheduled_at')::timestamp)
        FROM child
        WHERE child.levels = 1
        RETURNING queue, state
    ),
    nodes AS (
        INSERT INTO baton.workflow_nodes (
            oban_job_id, workflow_id, workflow_label, step_name, worker, deps, upstreams, downstreams, pending,
            ignore_cancelled, ignore_discarded, optional, is_map, levels, map_id, root_id, item_index, held,
            parameters, sources, item, beside
        )
        SELECT
            child.id,
            child.workflow_id,
            child.workflow_label,
            child.name,
            child.worker,
            child.above_names,
            child.above_ids,
            '{}',
            child.waits,
            child.ignore_cancelled,
            child.ignore_discarded,
            child.optional_ids,
            child.levels > 1,
            nullif(child.levels - 1, 0),
            child.oban_job_id,
            child.root_id,
            child.number,
            CASE WHEN child.has_window AND child.levels = 1 THEN true END,
            child.parameters,
            child.node_ids,
            child.values,
            child.beside
        FROM child
    )
    SELECT
        (
            SELECT count(pg_notify('baton.oban_insert', json_build_object('queue', queues.queue)::text))
            FROM (SELECT DISTINCT queue FROM jobs WHERE state = 'available') AS queues
        ),
        (SELECT array_agg(child.id) FROM child WHERE child.levels > 1 AND child.waits = 0),
        (SELECT array_agg(DISTINCT child.root_id) FROM child WHERE child.has_window AND child.levels = 1)
    INTO notified, further, windows;

    IF origins IS NOT NULL THEN
        UPDATE baton.workflow_nodes AS above
        SET downstreams = above.downstreams || below.ids
        FROM (
            SELECT source.id, array_agg(child.oban_job_id ORDER BY child.oban_job_id) AS ids
            FROM baton.workflow_nodes AS child
            CROSS JOIN unnest(child.upstreams) AS source(id)
            WHERE child.map_id = ANY(map_ids)
            GROUP BY source.id
        ) AS below
        WHERE above.oban_job_id = below.id;

        SELECT array_agg(DISTINCT above.oban_job_id) INTO failing
        FROM baton.workflow_nodes AS child
        CROSS JOIN unnest(child.upstreams) AS source(id)
        CROSS JOIN LATERAL (SELECT * FROM baton.workflow_nodes WHERE oban_job_id = source.id OFFSET 0) AS above
        WHERE child.map_id = ANY(map_ids) AND above.outcome IN ('cancelled', 'discarded', 'skipped');
    END IF;

    WITH expanded AS (
        UPDATE baton.workflow_nodes AS map
        SET items = (sizes ->> map.oban_job_id::text)::integer,
            pending = (sizes ->> map.oban_job_id::text)::integer,
            outcome = CASE WHEN sizes ->> map.oban_job_id::text = '0' THEN 'completed' END,
            in_flight = CASE WHEN map.map_id IS NULL THEN 0 END,
            updated_at = now()
        WHERE map.oban_job_id = ANY(map_ids)
        RETURNING map.oban_job_id, map.outcome
    )
    SELECT ended || array_agg(oban_job_id) INTO ended FROM expanded WHERE outcome IS NOT NULL;

    -- Maps over these may expand as well, once they wait for nothing else.
    SELECT array_agg(counts.id ORDER BY counts.id), jsonb_object_agg(counts.id, counts.upstreams)
    INTO followers, fewer
    FROM (
        SELECT below.id, count(*) AS upstreams
        FROM baton.workflow_nodes AS map
        CROSS JOIN unnest(map.downstreams) AS below(id)
        CROSS JOIN LATERAL (SELECT * FROM baton.workflow_nodes WHERE oban_job_id = below.id OFFSET 0) AS follower
        WHERE map.oban_job_id = ANY(map_ids) AND follower.is_map AND map.oban_job_id = ANY(follower.sources)
        GROUP BY below.id
    ) AS counts;
    IF followers IS NOT NULL THEN
        PERFORM 1 FROM baton.workflow_nodes WHERE oban_job_id = ANY(followers) ORDER BY oban_job_id FOR NO KEY UPDATE;

        WITH counted AS (
            UPDATE baton.workflow_nodes
            SET pending = pending - (fewer ->> oban_job_id::text)::integer
            WHERE oban_job_id = ANY(followers) AND outcome IS NULL AND items IS NULL
            RETURNING oban_job_id, pending
        )
        SELECT further || array_agg(oban_job_id) INTO further FROM counted WHERE pending = 0;
    END IF;
END
$function$;
