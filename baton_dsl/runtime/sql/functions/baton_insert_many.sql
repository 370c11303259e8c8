-- Insert workflows of one flow, all or none: for each a row, and for each of its steps a job and a node.
--
-- The first arguments are about the flow: its name, and the fingerprint `code` with the `signatures` that it stands for, as
-- JSON: text, since it is read only if no workflow of that code was inserted before. The next are about the workflows,
-- which have as many steps as `sizes` says. All others are about their steps, those of the first workflow first, in
-- topological order; edges refer to them by their position among all, from 1; a negative one says that the upstream may be
-- skipped without the step being skipped with it. What many steps share is given once, as a template. `maps` says which
-- steps are maps, and what of; 0 among their `sources` stands for the value in `item`. `traceparent` is the span that
-- inserts them, if there is one.
--
-- Gives the places of the workflows whose ids are taken, and then has inserted nothing. That is no error: the caller's
-- transaction goes on.
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
    workflow integer[]; -- of each step, by its place
    job_ids bigint[];
    job_sequence regclass := pg_get_serial_sequence('baton.oban_jobs', 'id')::regclass;
BEGIN
    IF installed < schema_version THEN
        -- no percent sign: Alembic would write it twice into an offline script
        RAISE EXCEPTION USING ERRCODE = 'BT405', MESSAGE =
            'the schema of baton-dsl is of version ' || installed || ', the library needs ' || schema_version;
    END IF;

    IF cardinality(ids) = 1 THEN
        taken := baton.baton_insert_workflows(ids, labels, flow, inputs, sizes, hooks_to_be, code, budgets, traceparent);
    ELSE
        BEGIN -- a savepoint: none of them is left if one can't be
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
