-- Announce that workflows have ended, in the transaction in which their last nodes settle: send a notification to those
-- who wait, and insert a job for each hook of the flow.
--
-- The jobs belong to no workflow (`workflow_id` is not in their meta), so that our triggers ignore them. A hook that has its
-- job is removed from `hooks`, so that it does not run again if the workflow is retried and ends again.
CREATE OR REPLACE FUNCTION baton.baton_announce(workflow_ids text[])
RETURNS void
LANGUAGE plpgsql
AS $function$
#variable_conflict use_column
DECLARE
    notified bigint;
BEGIN
    SELECT count(pg_notify(
        'baton.oban_workflow',
        json_build_object('workflow_id', workflow_id, 'outcome', outcome)::text
    )) INTO notified
    FROM baton.baton_workflows WHERE workflow_id = ANY(workflow_ids);

    WITH due AS MATERIALIZED (
        SELECT workflow.*, hook.key AS hook, hook.value ->> 'worker' AS worker, hook.value ->> 'queue' AS queue
        FROM baton.baton_workflows AS workflow
        CROSS JOIN LATERAL jsonb_each(workflow.hooks) AS hook
        WHERE workflow.workflow_id = ANY(workflow_ids)
            AND hook.key = ANY(ARRAY['on_settled', 'on_' || workflow.outcome])
    ),
    started AS (
        UPDATE baton.baton_workflows
        SET hooks = hooks - ARRAY['on_settled', 'on_' || outcome]
        WHERE workflow_id = ANY(ARRAY(SELECT due.workflow_id FROM due))
    ),
    jobs AS (
        INSERT INTO baton.oban_jobs (worker, queue, args, meta)
        SELECT
            due.worker,
            due.queue,
            jsonb_build_object(
                'id', due.workflow_id,
                'name', due.workflow_label,
                'flow', due.flow_name,
                'outcome', due.outcome,
                'counts', (
                    SELECT jsonb_object_agg(nodes.outcome, nodes.count)
                    FROM (
                        SELECT outcome, count(*) AS count
                        FROM baton.workflow_nodes WHERE workflow_id = due.workflow_id AND map_id IS NULL GROUP BY outcome
                    ) AS nodes
                ),
                'inserted_at', due.inserted_at,
                'settled_at', due.settled_at
            ),
            jsonb_build_object('baton_hook', due.hook, 'baton_workflow', due.workflow_id)
        FROM due
        RETURNING queue
    )
    SELECT count(pg_notify('baton.oban_insert', json_build_object('queue', queues.queue)::text))
    INTO notified
    FROM (SELECT DISTINCT queue FROM jobs) AS queues;
END
$function$;
