-- Insert the jobs of new workflows, one for each step that is not a map, and notify the queues of those that may start.
CREATE OR REPLACE FUNCTION baton.baton_insert_jobs(
    ids text[], labels text[], are_debug boolean[], workflow integer[], job_ids bigint[], names json, args json,
    template integer[], edge_to integer[], templates json, maps json
)
RETURNS void
LANGUAGE plpgsql
AS $function$
#variable_conflict use_variable
DECLARE
    moment timestamp := timezone('UTC', now());
    notified bigint;
BEGIN
    WITH steps AS MATERIALIZED (
        SELECT step.*,
            CASE
                WHEN step.position IN (SELECT unnest(edge_to)) THEN 'suspended'
                WHEN step.scheduled_at > moment THEN 'scheduled'
                ELSE 'available'
            END AS state
        FROM baton.baton_new_steps(ids, labels, are_debug, workflow, job_ids, names, args, template, templates) AS step
        WHERE step.position NOT IN (SELECT map.position FROM json_to_recordset(maps) AS map(position integer))
    ),
    jobs AS (
        INSERT INTO baton.oban_jobs (
            id, state, queue, worker, args, meta, tags, max_attempts, priority, inserted_at, scheduled_at
        )
        OVERRIDING SYSTEM VALUE
        SELECT
            steps.job_id,
            steps.state::baton.oban_job_state,
            steps.queue,
            steps.worker,
            steps.args::jsonb,
            jsonb_build_object(
                'workflow_id', steps.workflow_id, 'workflow_name', steps.name, 'workflow_label', steps.label
            ) || CASE WHEN steps.is_debug THEN '{"workflow_debug": true}'::jsonb ELSE '{}'::jsonb END
                || coalesce(steps.meta, '{}'::jsonb),
            coalesce(steps.tags, '{}'),
            steps.max_attempts,
            steps.priority,
            moment,
            coalesce(steps.scheduled_at, moment)
        FROM steps
    )
    -- Not from RETURNING: a role that may only insert may not read.
    SELECT count(pg_notify('baton.oban_insert', json_build_object('queue', queues.queue)::text))
    INTO notified
    FROM (SELECT DISTINCT queue FROM steps WHERE state = 'available') AS queues;
END
$function$;
