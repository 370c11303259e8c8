-- Insert the nodes of new workflows, one for each step.
CREATE OR REPLACE FUNCTION baton.baton_insert_nodes(
    ids text[], labels text[], are_debug boolean[], workflow integer[], job_ids bigint[], names json, args json,
    template integer[], edge_from integer[], edge_to integer[], templates json, maps json
)
RETURNS void
LANGUAGE plpgsql
AS $function$
#variable_conflict use_variable
BEGIN
    WITH steps AS MATERIALIZED (
        SELECT * FROM baton.baton_new_steps(
            ids, labels, are_debug, workflow, job_ids, names,
            CASE WHEN json_array_length(maps) > 0 THEN args ELSE '[]' END, -- the args of a map are stored in its node
            template, templates
        )
    ),
    above AS MATERIALIZED ( -- the upstreams of each step
        SELECT edge.downstream AS position, array_agg(steps.job_id) AS upstreams, array_agg(steps.name) AS deps,
            CASE
                WHEN bool_and(edge.upstream < 0) THEN '{0}'
                ELSE array_agg(steps.job_id) FILTER (WHERE edge.upstream < 0)
            END AS optional
        FROM unnest(edge_from, edge_to) AS edge(upstream, downstream)
        JOIN steps ON steps.position = abs(edge.upstream)
        GROUP BY edge.downstream
    ),
    below AS MATERIALIZED ( -- and its downstream steps
        SELECT abs(edge.upstream) AS position, array_agg(job_ids[edge.downstream]) AS downstreams
        FROM unnest(edge_from, edge_to) AS edge(upstream, downstream)
        GROUP BY abs(edge.upstream)
    ),
    map AS MATERIALIZED ( -- what a map needs to create its items, because it has no job that could store it
        SELECT map.position, map.levels, map.parameters, map.item,
            ARRAY(SELECT coalesce(job_ids[source], 0) FROM unnest(map.sources) AS source) AS sources,
            ARRAY(SELECT job_ids[other] FROM unnest(map.beside) AS other)
                || CASE WHEN steps.args::text <> '{}' THEN ARRAY[-steps.job_id] ELSE '{}' END AS beside,
            map.rules || jsonb_build_object(
                'args', steps.args,
                'queue', steps.queue,
                'max_attempts', steps.max_attempts,
                'priority', steps.priority,
                'tags', coalesce(steps.tags, '{}'),
                'scheduled_at', steps.scheduled_at,
                'meta', CASE WHEN steps.is_debug THEN '{"workflow_debug": true}'::jsonb ELSE '{}'::jsonb END
                    || coalesce(steps.meta, '{}'::jsonb)
            ) AS mapping
        FROM json_to_recordset(maps) AS map(
            position integer, levels smallint, parameters text[], sources integer[], item json, beside integer[],
            rules jsonb
        )
        JOIN steps USING (position)
    )
    INSERT INTO baton.workflow_nodes (
        oban_job_id, workflow_id, workflow_label, step_name, worker, deps, upstreams, downstreams, pending,
        ignore_cancelled, ignore_discarded, optional, is_map, levels, root_id, parameters, sources, item, beside, mapping
    )
    SELECT
        steps.job_id, steps.workflow_id, steps.label, steps.name, steps.worker,
        coalesce(above.deps, '{}'), coalesce(above.upstreams, '{}'), coalesce(below.downstreams, '{}'),
        coalesce(cardinality(above.upstreams), 0),
        steps.ignore_cancelled, steps.ignore_discarded, above.optional,
        map.position IS NOT NULL, map.levels, CASE WHEN map.position IS NOT NULL THEN steps.job_id END,
        map.parameters, map.sources, map.item, map.beside, map.mapping
    FROM steps
    LEFT JOIN above USING (position)
    LEFT JOIN below USING (position)
    LEFT JOIN map USING (position);
END
$function$;
