-- What a new item of a map waits for: the nodes that it reads (`node_ids`, 0 for a value), their names, those whose result
-- it does not need, and for how many of them it has to wait.
CREATE OR REPLACE FUNCTION baton.baton_item_waits(
    node_ids bigint[], map_sources bigint[], map_optional bigint[], is_job boolean, ignores_cancelled boolean,
    ignores_discarded boolean
)
RETURNS TABLE (ids bigint[], names text[], optional_ids bigint[], waits integer)
LANGUAGE sql
STABLE
AS $function$
    SELECT coalesce(array_agg(source.id), '{}'),
        coalesce(array_agg(source.name), '{}'),
        array_agg(source.id) FILTER (WHERE source.is_optional),
        (count(*) FILTER (WHERE source.is_awaited))::integer
    FROM (
        SELECT above.oban_job_id AS id, above.step_name AS name,
            bool_or(map_optional && ARRAY[map_sources[given.parameter], 0]) AS is_optional,
            bool_and(
                CASE
                    WHEN above.is_map AND NOT is_job THEN above.items IS NULL
                    ELSE NOT baton.baton_permits(
                        above.outcome,
                        ignores_cancelled AND is_job,
                        ignores_discarded AND is_job,
                        map_optional && ARRAY[map_sources[given.parameter], 0] AND is_job
                    )
                END
            ) AS is_awaited
        FROM unnest(node_ids) WITH ORDINALITY AS given(id, parameter)
        CROSS JOIN LATERAL (SELECT * FROM baton.workflow_nodes WHERE oban_job_id = given.id OFFSET 0) AS above
        WHERE given.id <> 0
        GROUP BY above.oban_job_id, above.step_name
    ) AS source
$function$;
