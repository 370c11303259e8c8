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
SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off
SET jit = off
AS $function$
#variable_conflict use_column
DECLARE
    installed integer := (SELECT max(version) FROM baton.baton_migrations);
    ids bigint[];
    job_sequence regclass := pg_get_serial_sequence('baton.oban_jobs', 'id')::regclass;
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

    PERFORM baton.baton_insert_jobs(id, label, is_debug, ids, names, args, template, edge_to, templates, maps);
    PERFORM baton.baton_insert_nodes(
        id, label, is_debug, ids, names, args, template, edge_from, edge_to, templates, maps
    );
    IF json_array_length(maps) > 0 THEN
        PERFORM baton.baton_begin_maps(id);
    END IF;
    RETURN ids;
END
$function$;
