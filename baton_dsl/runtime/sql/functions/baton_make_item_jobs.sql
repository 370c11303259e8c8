-- Insert the jobs of new items of maps, from the template in their root, and notify the queues of those that may start.
CREATE OR REPLACE FUNCTION baton.baton_make_item_jobs(map_ids bigint[])
RETURNS void
LANGUAGE plpgsql
AS $function$
DECLARE
    moment timestamp := timezone('UTC', now());
    notified bigint;
BEGIN
    WITH item AS MATERIALIZED (
        SELECT child.*, shape.mapping AS shape,
            CASE
                WHEN child.pending > 0 THEN 'suspended'
                WHEN (shape.mapping ->> 'scheduled_at')::timestamp > moment THEN 'scheduled'
                ELSE 'available'
            END AS state
        FROM unnest(map_ids) AS given(id)
        CROSS JOIN LATERAL (SELECT * FROM baton.workflow_nodes WHERE oban_job_id = given.id OFFSET 0) AS map
        CROSS JOIN LATERAL (SELECT * FROM baton.workflow_nodes WHERE oban_job_id = map.root_id OFFSET 0) AS shape
        CROSS JOIN LATERAL (
            SELECT oban_job_id, workflow_id, workflow_label, step_name, worker, pending
            FROM baton.workflow_nodes WHERE map_id = given.id AND NOT is_map
            OFFSET 0
        ) AS child
    ),
    jobs AS (
        INSERT INTO baton.oban_jobs (
            id, state, queue, worker, args, meta, tags, max_attempts, priority, inserted_at, scheduled_at
        )
        OVERRIDING SYSTEM VALUE
        SELECT
            item.oban_job_id,
            item.state::baton.oban_job_state,
            item.shape ->> 'queue',
            item.worker,
            '{}',
            jsonb_build_object(
                'workflow_id', item.workflow_id, 'workflow_name', item.step_name, 'workflow_label', item.workflow_label
            ) || coalesce(item.shape -> 'meta', '{}'),
            ARRAY(SELECT jsonb_array_elements_text(item.shape -> 'tags')),
            (item.shape ->> 'max_attempts')::smallint,
            (item.shape ->> 'priority')::smallint,
            moment,
            greatest(moment, (item.shape ->> 'scheduled_at')::timestamp)
        FROM item
    )
    SELECT count(pg_notify('baton.oban_insert', json_build_object('queue', queues.queue)::text))
    INTO notified
    FROM (SELECT DISTINCT shape ->> 'queue' AS queue FROM item WHERE state = 'available') AS queues;
END
$function$;
