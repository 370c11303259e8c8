-- Settle nodes whose jobs have ended, whoever ended them, and cancel nodes that can't run any more.
CREATE OR REPLACE FUNCTION baton.baton_end(job_ids bigint[], how text)
RETURNS void
LANGUAGE plpgsql
SET search_path TO pg_catalog, pg_temp
SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off
SET jit = off
AS $function$
DECLARE
    ended bigint[];
    is_locked boolean := false;
BEGIN
    LOOP -- as in baton_settle
        WITH own AS (
            UPDATE baton.workflow_nodes SET outcome = how, updated_at = now()
            WHERE oban_job_id = ANY(job_ids) AND outcome IS NULL
            RETURNING oban_job_id
        )
        SELECT ended || array_agg(oban_job_id) INTO ended FROM own;
        EXIT WHEN is_locked OR cardinality(ended) = cardinality(job_ids);

        PERFORM 1 FROM baton.workflow_nodes WHERE oban_job_id = ANY(job_ids) ORDER BY oban_job_id FOR NO KEY UPDATE;
        is_locked := true;
    END LOOP;
    IF ended IS NULL THEN
        RETURN;
    END IF;

    PERFORM baton.baton_spread(ended || baton.baton_follow(ended), '[]'::json, NULL::bigint[], NULL::bigint[]);
END
$function$;
