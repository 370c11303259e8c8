-- Expand the maps of new workflows that wait for nothing.
--
-- It runs with the rights of the owner: what a map expands into follows from rows that are there, and who may insert
-- workflows need not be able to read or change them. Nobody gains anything by calling it: a map that waits for nothing
-- has expanded before the transaction ends that let it go.
CREATE OR REPLACE FUNCTION baton.baton_begin_maps(ids text[])
RETURNS void
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path TO pg_catalog, pg_temp
SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off
SET jit = off
AS $function$
BEGIN
    PERFORM baton.baton_spread('{}'::bigint[], '[]'::json, ARRAY(
        SELECT node.oban_job_id
        FROM baton.workflow_nodes AS node
        WHERE node.workflow_id = ANY(ids) AND node.is_map AND node.pending = 0 AND node.outcome IS NULL AND node.items IS NULL
    ), NULL::bigint[]);
END
$function$;
