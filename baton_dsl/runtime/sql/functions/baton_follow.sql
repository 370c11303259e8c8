-- Settle the nodes that can't run any more because `ended` did not complete. Returns them, or NULL.
CREATE OR REPLACE FUNCTION baton.baton_follow(ended bigint[])
RETURNS bigint[]
LANGUAGE plpgsql
AS $function$
DECLARE
    how text;
    worst text;
    doomed bigint[];
    followed bigint[];
    all_followed bigint[];
BEGIN
    IF ended IS NULL THEN
        RETURN NULL;
    END IF;
    SELECT max(outcome) FILTER (WHERE outcome IN ('cancelled', 'discarded')) INTO worst
    FROM baton.workflow_nodes WHERE oban_job_id = ANY(ended) AND outcome <> 'completed';

    FOREACH how IN ARRAY ARRAY['cancelled', 'skipped'] LOOP -- in this order: a node that would be both is cancelled
        doomed := CASE WHEN how = 'skipped' OR worst IS NOT NULL THEN baton.baton_reach(ended, how) END;
        IF doomed IS NOT NULL THEN
            PERFORM 1 FROM baton.workflow_nodes WHERE oban_job_id = ANY(doomed) ORDER BY oban_job_id FOR NO KEY UPDATE;

            WITH own AS (
                UPDATE baton.workflow_nodes SET outcome = how, by_upstream = true, updated_at = now()
                WHERE oban_job_id = ANY(doomed) AND outcome IS NULL
                RETURNING oban_job_id
            )
            SELECT array_agg(oban_job_id) INTO followed FROM own;
            PERFORM baton.baton_cancel_jobs(
                followed,
                CASE how
                    WHEN 'cancelled' THEN 'BTN507: cancelled, since an upstream was ' || worst
                    ELSE 'BTN512: skipped, since an upstream was'
                END
            );
            all_followed := all_followed || followed;
        END IF;
    END LOOP;
    RETURN all_followed;
END
$function$;
