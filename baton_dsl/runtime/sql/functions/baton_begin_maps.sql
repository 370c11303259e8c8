-- Expand the maps of new workflows that have no upstreams.
--
-- It runs with the privileges of the owner: it reads and changes existing rows, and a role that only inserts need not have
-- these privileges. Calling it directly gains nothing: a map that waits for nothing has always expanded before the
-- transaction ends.
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
