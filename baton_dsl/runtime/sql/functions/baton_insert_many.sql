-- Insert workflows of one flow, all or none: for each a row, and for each of its steps a job and a node.
--
-- The first arguments are about the flow: its name, the fingerprint `code`, and its `signatures` as JSON. The JSON is text
-- because it is parsed only if no workflow of that code was inserted before. The next arguments are about the workflows;
-- `sizes` has their numbers of steps. All others are about the steps, in topological order, those of the first workflow
-- first. Edges refer to steps by their position among all steps, from 1; a negative position means that the upstream may
-- be skipped without the step being skipped too. What many steps share is passed once, as a template. `maps` has the steps
-- that are maps; 0 in their `sources` means the value in `item`. `traceparent` is the span of the insert, if there is one.
--
-- If ids exist already, it inserts nothing and returns the positions of their workflows. That is not an error, so that the
-- caller's transaction can continue.
CREATE OR REPLACE FUNCTION baton.baton_insert_many(
    schema_version integer, flow text, code text, signatures text,
    ids text[], labels text[], inputs text[], are_debug boolean[], hooks_to_be json, sizes integer[],
    names json, args json, template integer[], edge_from integer[], edge_to integer[], templates json, maps json,
    budgets numeric[] DEFAULT NULL, traceparent text DEFAULT NULL
)
RETURNS integer[]
LANGUAGE plpgsql
SET search_path TO pg_catalog, pg_temp
SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off
SET jit = off
AS $function$
#variable_conflict use_variable
DECLARE
    installed integer := (SELECT max(version) FROM baton.baton_migrations);
    taken integer[];
    workflow integer[]; -- of each step, by its position
    job_ids bigint[];
    job_sequence regclass := pg_get_serial_sequence('baton.oban_jobs', 'id')::regclass;
BEGIN
    IF installed < schema_version THEN
        -- no percent sign: Alembic would double it in an offline script
        RAISE EXCEPTION USING ERRCODE = 'BT405', MESSAGE =
            'the schema of baton-dsl is of version ' || installed || ', the library needs ' || schema_version;
    END IF;

    IF cardinality(ids) = 1 THEN
        taken := baton.baton_insert_workflows(ids, labels, flow, inputs, sizes, hooks_to_be, code, budgets, traceparent);
    ELSE
        BEGIN -- a savepoint: either all of them are inserted, or none
            taken := baton.baton_insert_workflows(ids, labels, flow, inputs, sizes, hooks_to_be, code, budgets, traceparent);
            IF cardinality(taken) > 0 THEN
                RAISE EXCEPTION USING ERRCODE = 'BT403', MESSAGE = 'taken back';
            END IF;
        EXCEPTION
            WHEN SQLSTATE 'BT403' THEN
                NULL;
        END;
    END IF;
    IF cardinality(taken) > 0 THEN
        RETURN taken;
    END IF;

    INSERT INTO baton.baton_flows (fingerprint, signatures)
    SELECT code, signatures::json
    WHERE NOT EXISTS (SELECT FROM baton.baton_flows AS known WHERE known.fingerprint = code);

    IF cardinality(ids) = 1 THEN
        workflow := array_fill(1, ARRAY[sizes[1]]);
    ELSE
        workflow := ARRAY(
            SELECT each.place::integer
            FROM unnest(sizes) WITH ORDINALITY AS each(size, place)
            CROSS JOIN LATERAL generate_series(1, each.size)
            ORDER BY each.place
        );
    END IF;
    job_ids := ARRAY(SELECT nextval(job_sequence) FROM generate_series(1, cardinality(template)));

    PERFORM baton.baton_insert_jobs(
        ids, labels, are_debug, workflow, job_ids, names, args, template, edge_to, templates, maps
    );
    PERFORM baton.baton_insert_nodes(
        ids, labels, are_debug, workflow, job_ids, names, args, template, edge_from, edge_to, templates, maps
    );
    IF json_array_length(maps) > 0 THEN
        PERFORM baton.baton_begin_maps(ids);
    END IF;
    RETURN taken;
END
$function$;
