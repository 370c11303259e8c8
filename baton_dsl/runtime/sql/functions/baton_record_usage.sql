-- Write down calls of models. One that is there already stays as it is, and counts once.
CREATE OR REPLACE FUNCTION baton.baton_record_usage(entries json)
RETURNS void
LANGUAGE plpgsql
SET search_path TO pg_catalog, pg_temp
AS $function$
BEGIN
    INSERT INTO baton.baton_usage (
        id, workflow_id, step_name, node_name, oban_job_id, attempt, model, provider, tier, input_tokens, cached_tokens,
        cache_write_tokens, output_tokens, reasoning_tokens, latency, cost, remark
    )
    SELECT given.id, given.workflow_id, given.step, given.node, given.job, given.attempt, given.model, given.provider,
        given.tier, given.input, given.cached, given.cache_write, given.output, given.reasoning,
        make_interval(secs => given.latency), given.cost, given.remark
    FROM json_to_recordset(entries) AS given(
        id uuid, workflow_id text, step text, node text, job bigint, attempt integer, model text, provider text,
        tier text, input bigint, cached bigint, cache_write bigint, output bigint, reasoning bigint,
        latency double precision, cost numeric, remark text
    )
    ON CONFLICT DO NOTHING;
END
$function$;
