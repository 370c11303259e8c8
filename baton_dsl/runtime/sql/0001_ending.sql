-- The end of a workflow.

-- Tell that workflows have ended, in the transaction in which their last nodes settle, whoever settled them: those who
-- wait by a notification, and the hooks of their flows by a job each.
--
-- The jobs belong to no workflow (`workflow_id` is not in their meta), so that our triggers leave them alone. A hook that
-- has its job is taken out of `hooks`: it is not started again, should a retry let the workflow end once more.
CREATE OR REPLACE FUNCTION baton_announce(workflow_ids text[])
RETURNS void
LANGUAGE plpgsql
AS $function$
#variable_conflict use_column
DECLARE
    notified bigint;
BEGIN
    SELECT count(pg_notify(
        current_schema() || '.oban_workflow',
        json_build_object('workflow_id', workflow_id, 'outcome', outcome)::text
    )) INTO notified
    FROM baton_workflows WHERE workflow_id = ANY(workflow_ids);

    WITH due AS MATERIALIZED (
        SELECT workflow.*, hook.key AS hook, hook.value ->> 'worker' AS worker, hook.value ->> 'queue' AS queue
        FROM baton_workflows AS workflow
        CROSS JOIN LATERAL jsonb_each(workflow.hooks) AS hook
        WHERE workflow.workflow_id = ANY(workflow_ids)
            AND hook.key = ANY(ARRAY['on_settled', 'on_' || workflow.outcome])
    ),
    started AS (
        UPDATE baton_workflows
        SET hooks = hooks - ARRAY['on_settled', 'on_' || outcome]
        WHERE workflow_id = ANY(ARRAY(SELECT due.workflow_id FROM due))
    ),
    jobs AS (
        INSERT INTO oban_jobs (worker, queue, args, meta)
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
                        FROM workflow_nodes WHERE workflow_id = due.workflow_id AND map_id IS NULL GROUP BY outcome
                    ) AS nodes
                ),
                'inserted_at', due.inserted_at,
                'settled_at', due.settled_at
            ),
            jsonb_build_object('baton_hook', due.hook, 'baton_workflow', due.workflow_id)
        FROM due
        RETURNING queue
    )
    SELECT count(pg_notify(current_schema() || '.oban_insert', json_build_object('queue', queues.queue)::text))
    INTO notified
    FROM (SELECT DISTINCT queue FROM jobs) AS queues;
END
$function$;

-- Whether this attempt of a hook's job may call its function. It is the last one from here on: what has begun is not
-- begun again, though the process may die now.
CREATE OR REPLACE FUNCTION baton_begin_hook(job_id bigint, job_attempt integer)
RETURNS boolean
LANGUAGE plpgsql
SET search_path FROM CURRENT
AS $function$
BEGIN
    UPDATE oban_jobs SET max_attempts = attempt
    WHERE id = job_id AND state = 'executing' AND attempt = job_attempt;
    RETURN FOUND;
END
$function$;

-- The ends that telemetry has not told yet: of these workflows, and of all since a moment, for those whose notification
-- nobody heard. Each is given to one caller. A workflow that was retried and ends again has another end.
CREATE OR REPLACE FUNCTION baton_tell(workflow_ids text[], since timestamptz)
RETURNS TABLE (
    workflow_id text, workflow_label text, flow_name text, outcome text, inserted_at timestamptz, settled_at timestamptz,
    counts json
)
LANGUAGE plpgsql
SET search_path FROM CURRENT
SET lock_timeout = '500ms'
AS $function$
#variable_conflict use_column
BEGIN
    RETURN QUERY
    WITH named AS MATERIALIZED (
        SELECT workflow_id FROM baton_workflows
        WHERE workflow_id = ANY(workflow_ids) AND settled_at IS NOT NULL AND told_at IS DISTINCT FROM settled_at
        FOR NO KEY UPDATE SKIP LOCKED
    ),
    missed AS MATERIALIZED (
        SELECT workflow_id FROM baton_workflows
        WHERE settled_at >= since AND told_at IS DISTINCT FROM settled_at
        FOR NO KEY UPDATE SKIP LOCKED
    ),
    told AS (
        UPDATE baton_workflows SET told_at = settled_at
        WHERE workflow_id = ANY(ARRAY(SELECT workflow_id FROM named UNION SELECT workflow_id FROM missed))
        RETURNING *
    )
    SELECT
        told.workflow_id,
        told.workflow_label,
        told.flow_name,
        told.outcome,
        told.inserted_at,
        told.settled_at,
        (
            SELECT json_object_agg(nodes.outcome, nodes.count)
            FROM (
                SELECT outcome, count(*) AS count
                FROM workflow_nodes WHERE workflow_id = told.workflow_id AND map_id IS NULL GROUP BY outcome
            ) AS nodes
        )
    FROM told
    ORDER BY told.settled_at;
END
$function$;
