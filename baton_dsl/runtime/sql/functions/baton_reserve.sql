-- Reserve amounts of the workflows' budgets for attempts that are about to start. Returns the jobs that may start; the caller
-- must park the others. A job that reserves 0 may start while anything is left.
--
-- Only the rows of the workflows are locked, in one order. So attempts that start concurrently take turns, without a
-- deadlock.
CREATE OR REPLACE FUNCTION baton.baton_reserve(job_ids bigint[], attempts smallint[], amounts numeric[])
RETURNS bigint[]
LANGUAGE plpgsql
SET search_path TO pg_catalog, pg_temp
SET lock_timeout = '500ms'
AS $function$
DECLARE
    asked record;
    room numeric;
    is_granted boolean;
    granted bigint[] := '{}';
BEGIN
    PERFORM 1 FROM baton.baton_budgets
    WHERE workflow_id IN (SELECT node.workflow_id FROM baton.workflow_nodes AS node WHERE node.oban_job_id = ANY(job_ids))
    ORDER BY workflow_id FOR NO KEY UPDATE;

    FOR asked IN
        SELECT node.oban_job_id AS id, node.workflow_id, given.attempt, given.amount
        FROM unnest(job_ids, attempts, amounts) AS given(id, attempt, amount)
        JOIN baton.workflow_nodes AS node ON node.oban_job_id = given.id
        ORDER BY node.workflow_id, node.oban_job_id
    LOOP
        room := baton.baton_room(asked.workflow_id, asked.id);
        is_granted := room IS NULL OR CASE WHEN asked.amount > 0 THEN asked.amount <= room ELSE room > 0 END;
        INSERT INTO baton.baton_reservations AS reservation (oban_job_id, workflow_id, amount, attempt)
        VALUES (asked.id, asked.workflow_id, asked.amount, CASE WHEN is_granted THEN asked.attempt END)
        ON CONFLICT (oban_job_id) DO UPDATE
        SET amount = excluded.amount, used = 0, attempt = excluded.attempt, called_at = NULL;
        IF is_granted THEN
            granted := granted || asked.id;
        END IF;
    END LOOP;
    RETURN granted;
END
$function$;
