-- As `baton_collect`, if it is not too large; `size` is its number of bytes. It is measured before it is built, because
-- PostgreSQL can't build a text of more than a gigabyte, and its client needs several copies in memory.
CREATE OR REPLACE FUNCTION baton.baton_collect_within(
    map_id bigint, most bigint, OUT result text, OUT absent jsonb, OUT size bigint
)
LANGUAGE plpgsql
STABLE
STRICT -- returns NULL for a node that is not a map, or has not expanded
SET search_path TO pg_catalog, pg_temp
AS $function$
#variable_conflict use_column
DECLARE
    wanted bigint := map_id;
BEGIN
    WITH RECURSIVE child AS (
        SELECT oban_job_id, is_map, octet_length(result::text) AS bytes
        FROM baton.workflow_nodes WHERE workflow_nodes.map_id = wanted
        UNION ALL
        SELECT below.oban_job_id, below.is_map, octet_length(below.result::text)
        FROM child
        CROSS JOIN LATERAL (SELECT * FROM baton.workflow_nodes WHERE map_id = child.oban_job_id OFFSET 0) AS below
        WHERE child.is_map
    )
    SELECT sum(coalesce(bytes, 4) + 1) + 1 INTO size FROM child; -- with commas and brackets, and null for nothing
    IF size <= most THEN
        SELECT collected.result, collected.absent INTO result, absent
        FROM baton.baton_collect(wanted) AS collected;
    END IF;
END
$function$;
