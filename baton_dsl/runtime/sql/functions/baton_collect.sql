-- The results of a map's children as a list (nested for several levels), with null for missing ones; and the reason for
-- each missing one: `[{"path", "state", "reason"}]`, or NULL if there is none. The reasons together have at most 32 million
-- characters, because jsonb is limited to 256 MB and all items of a map may fail. For a step of several models, the results
-- are an object by model, and the path of a missing one is the model.
CREATE OR REPLACE FUNCTION baton.baton_collect(map_id bigint, OUT result text, OUT absent jsonb)
LANGUAGE plpgsql
STABLE
SET search_path TO pg_catalog, pg_temp
AS $function$
#variable_conflict use_column
DECLARE
    wanted bigint := map_id;
    longest integer;
    is_per_model boolean;
BEGIN
    SELECT 32000000 / greatest(items, 1), coalesce(mapping ? 'per_model', false)
    INTO longest, is_per_model
    FROM baton.workflow_nodes WHERE oban_job_id = wanted;

    SELECT CASE WHEN is_per_model THEN '{' ELSE '[' END
            || coalesce(string_agg(entry.key || coalesce(entry.text, 'null'), ',' ORDER BY entry.item_index), '')
            || CASE WHEN is_per_model THEN '}' ELSE ']' END,
        jsonb_agg(entry.missing ORDER BY entry.item_index) FILTER (WHERE entry.missing IS NOT NULL)
    INTO result, absent
    FROM (
        SELECT child.item_index, child.result::text AS text,
            CASE WHEN is_per_model THEN (child.item -> 0)::text || ':' ELSE '' END AS key,
            CASE
                WHEN child.outcome IS DISTINCT FROM 'completed' THEN jsonb_build_object(
                    'path', CASE
                        WHEN is_per_model THEN child.item::jsonb
                        ELSE jsonb_build_array(child.item_index)
                    END,
                    'state', child.outcome,
                    'reason', coalesce(child.reason, (
                        SELECT CASE
                            WHEN length(last.error) <= greatest(1000, longest) THEN last.error
                            -- the first line of a traceback, and its end, which has the exception
                            ELSE split_part(last.error, E'\n', 1) || E'\n  ...\n' || right(last.error, greatest(900, longest - 100))
                        END
                        FROM baton.oban_jobs AS job
                        CROSS JOIN LATERAL (SELECT job.errors -> -1 ->> 'error' AS error) AS last
                        WHERE job.id = child.oban_job_id
                    ))
                )
            END AS missing
        FROM baton.workflow_nodes AS child
        WHERE child.map_id = wanted AND NOT child.is_map
    ) AS entry;

    IF EXISTS (SELECT FROM baton.workflow_nodes WHERE workflow_nodes.map_id = wanted AND is_map) THEN
        SELECT '[' || string_agg(coalesce(entry.text, 'null'), ',' ORDER BY entry.item_index) || ']',
            (
                SELECT jsonb_agg(every.missing ORDER BY every.missing -> 'path')
                FROM (
                    SELECT jsonb_set(missing.value, '{path}', jsonb_build_array(list.item_index) || (missing.value -> 'path'))
                    FROM baton.workflow_nodes AS list
                    CROSS JOIN LATERAL baton.baton_collect(list.oban_job_id) AS inner_list
                    CROSS JOIN LATERAL jsonb_array_elements(inner_list.absent) AS missing(value)
                    WHERE list.map_id = wanted AND list.items IS NOT NULL
                    UNION ALL
                    SELECT jsonb_build_object(
                        'path', jsonb_build_array(list.item_index), 'state', list.outcome, 'reason', list.reason
                    )
                    FROM baton.workflow_nodes AS list
                    WHERE list.map_id = wanted AND list.items IS NULL
                ) AS every(missing)
            )
        INTO result, absent
        FROM (
            SELECT list.item_index,
                CASE WHEN list.items IS NOT NULL THEN (SELECT inner_list.result FROM baton.baton_collect(list.oban_job_id) AS inner_list) END AS text
            FROM baton.workflow_nodes AS list
            WHERE list.map_id = wanted
        ) AS entry;
    END IF;
END
$function$;
