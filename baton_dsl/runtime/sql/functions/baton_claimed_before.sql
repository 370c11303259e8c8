-- The jobs that an earlier call of the same settle has claimed, if its answer was lost: those directly downstream of the
-- settled ones that run in one of its `slots`.
CREATE OR REPLACE FUNCTION baton.baton_claimed_before(job_ids bigint[], slots json)
RETURNS bigint[]
LANGUAGE sql
STABLE
AS $function$
    SELECT array_agg(DISTINCT job.id)
    FROM baton.workflow_nodes AS node
    CROSS JOIN unnest(node.downstreams) AS below(id)
    CROSS JOIN LATERAL (SELECT * FROM baton.oban_jobs WHERE oban_jobs.id = below.id OFFSET 0) AS job
    JOIN json_to_recordset(slots) AS slot(by text[]) ON slot.by = job.attempted_by
    WHERE node.oban_job_id = ANY(job_ids) AND job.state = 'executing'
$function$;
