-- Store calls of models, and count them against the budgets of their workflows. A call that exists already is not changed
-- or counted again. A call without a known cost counts as what its attempt had reserved.
CREATE OR REPLACE FUNCTION baton.baton_record_usage(entries json)
RETURNS void
LANGUAGE plpgsql
SET search_path TO pg_catalog, pg_temp
SET lock_timeout = '500ms'
AS $function$
DECLARE
    written uuid[];
    call record;
    charge numeric;
BEGIN
    WITH new AS (
        INSERT INTO baton.baton_usage (
            id, workflow_id, step_name, node_name, oban_job_id, attempt, model, provider, tier, input_tokens,
            cached_tokens, cache_write_tokens, output_tokens, reasoning_tokens, latency, cost, remark
        )
        SELECT given.id, given.workflow_id, given.step, given.node, given.job, given.attempt, given.model,
            given.provider, given.tier, given.input, given.cached, given.cache_write, given.output, given.reasoning,
            make_interval(secs => given.latency), given.cost, given.remark
        FROM json_to_recordset(entries) AS given(
            id uuid, workflow_id text, step text, node text, job bigint, attempt integer, model text, provider text,
            tier text, input bigint, cached bigint, cache_write bigint, output bigint, reasoning bigint,
            latency double precision, cost numeric, remark text
        )
        ON CONFLICT DO NOTHING
        RETURNING id
    )
    SELECT array_agg(id) INTO written FROM new;

    PERFORM 1 FROM baton.baton_budgets
    WHERE workflow_id IN (SELECT usage.workflow_id FROM baton.baton_usage AS usage WHERE usage.id = ANY(written))
    ORDER BY workflow_id FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        RETURN;
    END IF;

    FOR call IN
        SELECT usage.workflow_id, usage.oban_job_id, usage.attempt, coalesce(sum(usage.cost), 0) AS known,
            bool_or(usage.cost IS NULL) AS is_open
        FROM baton.baton_usage AS usage
        JOIN baton.baton_budgets AS workflow ON workflow.workflow_id = usage.workflow_id
        WHERE usage.id = ANY(written)
        GROUP BY usage.workflow_id, usage.oban_job_id, usage.attempt
    LOOP
        charge := call.known + CASE
            WHEN call.is_open THEN coalesce((
                SELECT greatest(amount - used - call.known, 0) FROM baton.baton_reservations
                WHERE oban_job_id = call.oban_job_id AND attempt = call.attempt
            ), 0)
            ELSE 0
        END;
        UPDATE baton.baton_reservations SET used = used + charge
        WHERE oban_job_id = call.oban_job_id AND attempt = call.attempt;
        UPDATE baton.baton_budgets SET spent = spent + charge WHERE workflow_id = call.workflow_id;
    END LOOP;
END
$function$;
