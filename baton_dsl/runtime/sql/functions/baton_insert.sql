-- Insert a workflow, for code of versions before `baton_insert_many`, which describes the arguments. Returns NULL if a
-- workflow with that id exists.
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
LANGUAGE sql
SET search_path TO pg_catalog, pg_temp
AS $function$
    SELECT CASE
        WHEN cardinality(
            baton.baton_insert_many(
                schema_version => schema_version,
                flow => flow,
                code => code,
                signatures => signatures,
                ids => ARRAY[id],
                labels => ARRAY[label],
                inputs => ARRAY[given_inputs],
                are_debug => ARRAY[is_debug],
                hooks_to_be => json_build_array(hooks_to_be),
                sizes => ARRAY[cardinality(template)],
                names => names,
                args => args,
                template => template,
                edge_from => edge_from,
                edge_to => edge_to,
                templates => templates,
                maps => maps
            )
        ) = 0 THEN '{}'::bigint[]
    END
$function$;
