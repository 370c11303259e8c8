-- Record that items of maps with a window only wait for a place: for each root, the first and the last of them.
CREATE OR REPLACE FUNCTION baton.baton_widen(bounds jsonb)
RETURNS void
LANGUAGE plpgsql
AS $function$
BEGIN
    UPDATE baton.workflow_nodes
    SET held_from = CASE
            WHEN held_from IS NOT NULL THEN least(held_from, (bounds -> oban_job_id::text ->> 0)::bigint)
        END,
        held_to = CASE WHEN held_to IS NOT NULL THEN greatest(held_to, (bounds -> oban_job_id::text ->> 1)::bigint) END
    WHERE oban_job_id = ANY(ARRAY(SELECT jsonb_object_keys(bounds)::bigint));
END
$function$;
