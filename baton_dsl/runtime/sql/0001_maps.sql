-- Maps: nodes without a job. A map waits for its upstreams like any node; then it *expands* into its children, one for
-- each item of what it maps over: jobs, or one level further maps. From then on `pending` is the number of its children
-- that are not settled, and when there is none left it *concludes*: its outcome follows from theirs.
--
-- What a map maps over is the result of a step, a value (`item`), or another map. A map over a map expands when that one
-- does, and its children wait for that one's children, item by item. `sources` has, for each parameter that is mapped
-- over, the node that the items come from; 0 stands for a value.

-- The items of a collection in order; those of an object are its keys with their values. PostgreSQL takes an object apart
-- only if no string in it, at any depth, has a NUL character, which JSON allows: something that the text does not contain,
-- its own hash, stands for NULs meanwhile. An escaped backslash before "u0000" makes no NUL of it.
CREATE OR REPLACE FUNCTION baton_entries(whole json)
RETURNS TABLE (number bigint, value json)
LANGUAGE plpgsql
IMMUTABLE
AS $function$
DECLARE
    written text := whole::text;
    marker text;
BEGIN
    CASE json_typeof(whole)
        WHEN 'array' THEN
            RETURN QUERY
            SELECT item.place, item.part
            FROM json_array_elements(whole) WITH ORDINALITY AS item(part, place);
        WHEN 'object' THEN
            IF strpos(written, '\u0000') = 0 THEN
                RETURN QUERY
                SELECT item.place, json_build_array(item.name, item.part)
                FROM json_each(whole) WITH ORDINALITY AS item(name, part, place);
            ELSE
                marker := md5(written);
                RETURN QUERY
                SELECT item.place,
                    replace(json_build_array(item.name, item.part)::text, marker, '\u0000')::json
                FROM json_each(regexp_replace(written, '(?<!\\)((?:\\\\)*)\\u0000', '\1' || marker, 'g')::json)
                    WITH ORDINALITY AS item(name, part, place);
            END IF;
        ELSE
            NULL; -- no collection
    END CASE;
END
$function$;

-- What is mapped over, one row for each map and parameter: how many items it has, NULL if it is no collection.
CREATE OR REPLACE FUNCTION baton_collections(map_ids bigint[])
RETURNS TABLE (map_id bigint, parameter integer, source_id bigint, of_map boolean, whole json, size integer)
LANGUAGE sql
STABLE
AS $function$
    SELECT found.map_id, found.parameter, found.source_id, found.of_map, found.whole,
        CASE
            WHEN found.of_map THEN found.items
            WHEN json_typeof(found.whole) = 'array' THEN json_array_length(found.whole)
            WHEN json_typeof(found.whole) = 'object' THEN (SELECT count(*) FROM baton_entries(found.whole))::integer
        END
    FROM (
        SELECT map.oban_job_id AS map_id, source.number::integer AS parameter, source.id AS source_id,
            coalesce(origin.is_map, false) AS of_map, origin.items,
            CASE WHEN source.id = 0 THEN map.item -> (source.number - 1)::integer ELSE origin.result END AS whole
        FROM unnest(map_ids) AS given(id)
        CROSS JOIN LATERAL (SELECT * FROM workflow_nodes WHERE oban_job_id = given.id OFFSET 0) AS map
        CROSS JOIN LATERAL unnest(map.sources) WITH ORDINALITY AS source(id, number)
        LEFT JOIN LATERAL (SELECT * FROM workflow_nodes WHERE oban_job_id = source.id OFFSET 0) AS origin ON true
    ) AS found
$function$;

-- Expand maps that wait for nothing any more. Gives
--   ended: those that have settled by it: refused ones, as discarded, and those without items, as completed;
--   further: maps that may expand now, their children or maps over them;
--   failing: nodes that ended otherwise than completed, of which new children have to be told;
--   windows: roots that let only so many items run at once.
CREATE OR REPLACE FUNCTION baton_expand(
    map_ids bigint[],
    OUT ended bigint[], OUT further bigint[], OUT failing bigint[], OUT windows bigint[]
)
LANGUAGE plpgsql
AS $function$
DECLARE
    moment timestamp := timezone('UTC', now());
    job_sequence regclass := pg_get_serial_sequence('oban_jobs', 'id')::regclass;
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
                FROM baton_collections(map_ids) AS collection
                CROSS JOIN LATERAL (SELECT * FROM workflow_nodes WHERE oban_job_id = collection.map_id OFFSET 0) AS map
                CROSS JOIN LATERAL (SELECT * FROM workflow_nodes WHERE oban_job_id = map.root_id OFFSET 0) AS root
            ) AS each
            GROUP BY each.map_id, each.is_zip
        ) AS measured
        CROSS JOIN LATERAL (SELECT * FROM workflow_nodes WHERE oban_job_id = measured.map_id OFFSET 0) AS map
        CROSS JOIN LATERAL (SELECT * FROM workflow_nodes WHERE oban_job_id = map.root_id OFFSET 0) AS root
    ) AS judged;

    IF refused IS NOT NULL THEN
        UPDATE workflow_nodes
        SET outcome = 'discarded', reason = reasons[array_position(refused, oban_job_id)], updated_at = now()
        WHERE oban_job_id = ANY(refused);
        ended := refused;
    END IF;
    IF map_ids IS NULL THEN
        RETURN;
    END IF;

    -- The children of other maps that the new ones wait for: none of them may settle unseen from here on.
    SELECT array_agg(DISTINCT source_id) INTO origins FROM baton_collections(map_ids) WHERE of_map;
    IF origins IS NOT NULL THEN
        PERFORM 1 FROM workflow_nodes WHERE map_id = ANY(origins) ORDER BY oban_job_id FOR NO KEY UPDATE;
    END IF;

    WITH RECURSIVE collection AS MATERIALIZED (
        SELECT * FROM baton_collections(map_ids)
    ),
    element AS MATERIALIZED (
        SELECT collection.map_id, collection.parameter, collection.size, entry.number - 1 AS number,
            0::bigint AS node_id, entry.value
        FROM collection
        CROSS JOIN LATERAL baton_entries(collection.whole) AS entry
        WHERE NOT collection.of_map
        UNION ALL
        SELECT collection.map_id, collection.parameter, collection.size, child.item_index, child.oban_job_id, NULL
        FROM collection
        CROSS JOIN LATERAL (
            SELECT * FROM workflow_nodes WHERE workflow_nodes.map_id = collection.source_id OFFSET 0
        ) AS child
        WHERE collection.of_map
    ),
    map AS MATERIALIZED (
        SELECT found.*, root.step_name AS root_name, root.mapping AS shape,
            coalesce(root.mapping ->> 'combine', 'zip') = 'zip' AS is_zip,
            root.mapping ? 'max_concurrency' AS has_window
        FROM unnest(map_ids) AS given(id)
        CROSS JOIN LATERAL (SELECT * FROM workflow_nodes WHERE oban_job_id = given.id OFFSET 0) AS found
        CROSS JOIN LATERAL (SELECT * FROM workflow_nodes WHERE oban_job_id = found.root_id OFFSET 0) AS root
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
                                ELSE NOT baton_permits(
                                    above.outcome,
                                    map.ignore_cancelled AND map.levels = 1,
                                    map.ignore_discarded AND map.levels = 1,
                                    map.optional && ARRAY[map.sources[given.parameter], 0] AND map.levels = 1
                                )
                            END
                        ) AS is_awaited
                    FROM unnest(combined.node_ids) WITH ORDINALITY AS given(id, parameter)
                    CROSS JOIN LATERAL (SELECT * FROM workflow_nodes WHERE oban_job_id = given.id OFFSET 0) AS above
                    WHERE given.id <> 0
                    GROUP BY above.oban_job_id, above.step_name
                ) AS source
            ) AS waits
            ORDER BY combined.map_id, combined.number
            OFFSET 0
        ) AS ordered
    ),
    jobs AS (
        INSERT INTO oban_jobs (
            id, state, queue, worker, args, meta, tags, max_attempts, priority, inserted_at, scheduled_at
        )
        OVERRIDING SYSTEM VALUE
        SELECT
            child.id,
            CASE
                WHEN child.waits > 0 THEN 'suspended'
                WHEN (child.shape ->> 'scheduled_at')::timestamp > moment THEN 'scheduled'
                ELSE 'available'
            END::oban_job_state,
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
        INSERT INTO workflow_nodes (
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
            SELECT count(pg_notify(current_schema() || '.oban_insert', json_build_object('queue', queues.queue)::text))
            FROM (SELECT DISTINCT queue FROM jobs WHERE state = 'available') AS queues
        ),
        (SELECT array_agg(child.id) FROM child WHERE child.levels > 1 AND child.waits = 0),
        (SELECT array_agg(DISTINCT child.root_id) FROM child WHERE child.has_window AND child.levels = 1)
    INTO notified, further, windows;

    IF origins IS NOT NULL THEN
        UPDATE workflow_nodes AS above
        SET downstreams = above.downstreams || below.ids
        FROM (
            SELECT source.id, array_agg(child.oban_job_id ORDER BY child.oban_job_id) AS ids
            FROM workflow_nodes AS child
            CROSS JOIN unnest(child.upstreams) AS source(id)
            WHERE child.map_id = ANY(map_ids)
            GROUP BY source.id
        ) AS below
        WHERE above.oban_job_id = below.id;

        SELECT array_agg(DISTINCT above.oban_job_id) INTO failing
        FROM workflow_nodes AS child
        CROSS JOIN unnest(child.upstreams) AS source(id)
        CROSS JOIN LATERAL (SELECT * FROM workflow_nodes WHERE oban_job_id = source.id OFFSET 0) AS above
        WHERE child.map_id = ANY(map_ids) AND above.outcome IN ('cancelled', 'discarded', 'skipped');
    END IF;

    WITH expanded AS (
        UPDATE workflow_nodes AS map
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
        FROM workflow_nodes AS map
        CROSS JOIN unnest(map.downstreams) AS below(id)
        CROSS JOIN LATERAL (SELECT * FROM workflow_nodes WHERE oban_job_id = below.id OFFSET 0) AS follower
        WHERE map.oban_job_id = ANY(map_ids) AND follower.is_map AND map.oban_job_id = ANY(follower.sources)
        GROUP BY below.id
    ) AS counts;
    IF followers IS NOT NULL THEN
        PERFORM 1 FROM workflow_nodes WHERE oban_job_id = ANY(followers) ORDER BY oban_job_id FOR NO KEY UPDATE;

        WITH counted AS (
            UPDATE workflow_nodes
            SET pending = pending - (fewer ->> oban_job_id::text)::integer
            WHERE oban_job_id = ANY(followers) AND outcome IS NULL AND items IS NULL
            RETURNING oban_job_id, pending
        )
        SELECT further || array_agg(oban_job_id) INTO further FROM counted WHERE pending = 0;
    END IF;
END
$function$;

-- Settle maps whose children have all settled: as completed if as many of these succeeded as the map demands. A skipped
-- item did not fail.
CREATE OR REPLACE FUNCTION baton_conclude(map_ids bigint[])
RETURNS void
LANGUAGE plpgsql
AS $function$
BEGIN
    UPDATE workflow_nodes AS map
    SET outcome = CASE
            WHEN ends.good >= ends.demanded THEN 'completed'
            WHEN ends.discarded > 0 THEN 'discarded'
            ELSE 'cancelled'
        END,
        reason = CASE
            WHEN ends.good < ends.demanded THEN
                'BTN511: ' || ends.items - ends.good || ' of ' || ends.items || ' items failed'
                || CASE WHEN ends.demanded < ends.items THEN ', ' || ends.demanded || ' must succeed' ELSE '' END
                || '; workflow.items("' || ends.step_name || '") tells why, workflow.retry() tries them again'
        END,
        updated_at = now()
    FROM (
        SELECT counts.*, root.step_name,
            CASE
                WHEN root.mapping ? 'least' THEN (root.mapping ->> 'least')::integer
                WHEN root.mapping ? 'share' THEN ceil((root.mapping ->> 'share')::numeric * counts.items)
                ELSE counts.items
            END AS demanded
        FROM (
            SELECT child.map_id,
                child.root_id,
                count(*) AS items,
                count(*) FILTER (WHERE child.outcome IN ('completed', 'skipped')) AS good,
                count(*) FILTER (WHERE child.outcome = 'discarded') AS discarded
            FROM workflow_nodes AS child
            WHERE child.map_id = ANY(map_ids)
            GROUP BY child.map_id, child.root_id
        ) AS counts
        CROSS JOIN LATERAL (SELECT * FROM workflow_nodes WHERE oban_job_id = counts.root_id OFFSET 0) AS root
    ) AS ends
    WHERE map.oban_job_id = ends.map_id;
END
$function$;

-- Let the next items of maps with a window go, as many as it has room for: those that wait for nothing but this, in
-- order. Returns them. An item that is locked is in other hands, and they come here next.
CREATE OR REPLACE FUNCTION baton_release(root_ids bigint[])
RETURNS bigint[]
LANGUAGE plpgsql
AS $function$
DECLARE
    released bigint[];
    counts jsonb;
BEGIN
    PERFORM 1 FROM workflow_nodes WHERE oban_job_id = ANY(root_ids) ORDER BY oban_job_id FOR NO KEY UPDATE;

    WITH freed AS (
        UPDATE workflow_nodes
        SET held = false, pending = pending - 1
        WHERE oban_job_id = ANY(ARRAY(
            SELECT item.oban_job_id
            FROM unnest(root_ids) AS given(id)
            CROSS JOIN LATERAL (SELECT * FROM workflow_nodes WHERE oban_job_id = given.id OFFSET 0) AS root
            CROSS JOIN LATERAL (
                SELECT waiting.oban_job_id
                FROM workflow_nodes AS waiting
                WHERE waiting.root_id = given.id AND waiting.held AND waiting.pending = 1 AND waiting.outcome IS NULL
                    AND EXISTS ( -- else it is about to settle, by the same statement that made this one settle
                        SELECT FROM oban_jobs AS job
                        WHERE job.id = waiting.oban_job_id AND job.state NOT IN ('completed', 'cancelled', 'discarded')
                    )
                ORDER BY waiting.root_id, waiting.oban_job_id
                LIMIT greatest((root.mapping ->> 'max_concurrency')::integer - root.in_flight, 0)
                FOR NO KEY UPDATE SKIP LOCKED
            ) AS item
        ))
        RETURNING oban_job_id, root_id
    )
    SELECT array_agg(oban_job_id), jsonb_object_agg(root_id, items)
    INTO released, counts
    FROM freed
    JOIN (SELECT root_id, count(*) AS items FROM freed GROUP BY root_id) AS each USING (root_id);

    IF released IS NOT NULL THEN
        UPDATE workflow_nodes
        SET in_flight = in_flight + (counts ->> oban_job_id::text)::integer
        WHERE oban_job_id = ANY(root_ids) AND counts ? oban_job_id::text;
    END IF;
    RETURN released;
END
$function$;

-- What the children of a map returned, as a list (of lists, where there are levels), with null where there is nothing;
-- and for each such place why: `[{"path", "state", "reason"}]`, or NULL if there is none.
CREATE OR REPLACE FUNCTION baton_collect(map_id bigint, OUT result text, OUT absent jsonb)
LANGUAGE plpgsql
STABLE
SET search_path FROM CURRENT
AS $function$
#variable_conflict use_column
DECLARE
    wanted bigint := map_id;
BEGIN
    SELECT coalesce('[' || string_agg(coalesce(entry.text, 'null'), ',' ORDER BY entry.item_index) || ']', '[]'),
        jsonb_agg(entry.missing ORDER BY entry.item_index) FILTER (WHERE entry.missing IS NOT NULL)
    INTO result, absent
    FROM (
        SELECT child.item_index, child.result::text AS text,
            CASE
                WHEN child.outcome IS DISTINCT FROM 'completed' THEN jsonb_build_object(
                    'path', jsonb_build_array(child.item_index),
                    'state', child.outcome,
                    'reason', coalesce(child.reason, (
                        SELECT job.errors -> -1 ->> 'error' FROM oban_jobs AS job WHERE job.id = child.oban_job_id
                    ))
                )
            END AS missing
        FROM workflow_nodes AS child
        WHERE child.map_id = wanted AND NOT child.is_map
    ) AS entry;

    IF EXISTS (SELECT FROM workflow_nodes WHERE workflow_nodes.map_id = wanted AND is_map) THEN
        SELECT '[' || string_agg(coalesce(entry.text, 'null'), ',' ORDER BY entry.item_index) || ']',
            (
                SELECT jsonb_agg(every.missing ORDER BY every.missing -> 'path')
                FROM (
                    SELECT jsonb_set(missing.value, '{path}', jsonb_build_array(list.item_index) || (missing.value -> 'path'))
                    FROM workflow_nodes AS list
                    CROSS JOIN LATERAL baton_collect(list.oban_job_id) AS inner_list
                    CROSS JOIN LATERAL jsonb_array_elements(inner_list.absent) AS missing(value)
                    WHERE list.map_id = wanted AND list.items IS NOT NULL
                    UNION ALL
                    SELECT jsonb_build_object(
                        'path', jsonb_build_array(list.item_index), 'state', list.outcome, 'reason', list.reason
                    )
                    FROM workflow_nodes AS list
                    WHERE list.map_id = wanted AND list.items IS NULL
                ) AS every(missing)
            )
        INTO result, absent
        FROM (
            SELECT list.item_index,
                CASE WHEN list.items IS NOT NULL THEN (SELECT inner_list.result FROM baton_collect(list.oban_job_id) AS inner_list) END AS text
            FROM workflow_nodes AS list
            WHERE list.map_id = wanted
        ) AS entry;
    END IF;
END
$function$;
