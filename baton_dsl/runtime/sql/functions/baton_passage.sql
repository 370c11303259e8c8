-- What the gate reads of a job that is about to start: its node, how its upstreams ended, and what they returned. For a job
-- that the same statement has claimed, so that it needs no gate of its own. NULL if it is more than a few small results: a
-- map, an item of one, many upstreams, or one that returned more than `most` bytes. It is volatile, to see what was done
-- before it in the statement.
CREATE OR REPLACE FUNCTION baton.baton_passage(job_id bigint, most integer)
RETURNS json
LANGUAGE plpgsql
SET search_path TO pg_catalog, pg_temp
SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off
SET jit = off
AS $function$
DECLARE
    node record;
    above record;
BEGIN
    SELECT own.workflow_id, own.step_name, own.outcome, own.pending, own.upstreams,
        (SELECT stopped_at IS NOT NULL FROM baton.baton_workflows WHERE workflow_id = own.workflow_id) AS is_stopped
    INTO node
    FROM baton.workflow_nodes AS own
    WHERE own.oban_job_id = job_id
        AND own.parameters IS NULL
        AND own.beside IS NULL
        AND cardinality(own.upstreams) <= 10;
    IF NOT FOUND THEN
        RETURN NULL;
    END IF;

    SELECT bool_or(upstream.is_map OR coalesce(pg_column_size(upstream.result) > most, false)) AS is_large,
        json_agg(
            json_build_array(
                upstream.step_name, upstream.worker, upstream.outcome,
                CASE WHEN pg_column_size(upstream.result) <= most THEN upstream.result::text END
            ) ORDER BY source.place
        ) AS ends
    INTO above
    FROM unnest(node.upstreams) WITH ORDINALITY AS source(id, place)
    CROSS JOIN LATERAL (SELECT * FROM baton.workflow_nodes WHERE oban_job_id = source.id OFFSET 0) AS upstream;
    IF above.is_large THEN
        RETURN NULL;
    END IF;
    RETURN json_build_array(
        node.workflow_id, node.step_name, node.outcome, node.pending, node.is_stopped, coalesce(above.ends, '[]')
    );
END
$function$;
