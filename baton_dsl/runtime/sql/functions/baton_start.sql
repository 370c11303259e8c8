-- Promote the nodes of some workflows that wait for nothing, and apply what follows from nodes that have settled.
CREATE OR REPLACE FUNCTION baton.baton_start(workflow_ids text[], settled bigint[] DEFAULT NULL)
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
    FROM baton.workflow_nodes WHERE workflow_id = ANY(workflow_ids) AND outcome IS NULL;

    -- Items that had a place may wait for one again.
    UPDATE baton.workflow_nodes SET held_from = NULL, held_to = NULL WHERE oban_job_id = ANY(windows);
    PERFORM baton.baton_promote(ready, '[]'::json);
    IF settled IS NOT NULL OR maps IS NOT NULL OR windows IS NOT NULL THEN
        PERFORM baton.baton_spread(coalesce(settled, '{}'), '[]'::json, maps, windows);
    END IF;
END
$function$;
