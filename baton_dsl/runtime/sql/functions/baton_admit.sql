-- Make steps that wait for the budget of their workflow available again, as far as enough may be left for them. Called as
-- the last thing in a transaction in which an attempt has ended or a budget was raised.
CREATE OR REPLACE FUNCTION baton.baton_admit(workflow_ids text[])
RETURNS void
LANGUAGE plpgsql
AS $function$
#variable_conflict use_column
DECLARE
    workflow record;
    waiting record;
    room numeric;
    called bigint[] := '{}';
BEGIN
    PERFORM 1 FROM baton.baton_budgets
    WHERE workflow_id = ANY(workflow_ids) ORDER BY workflow_id FOR NO KEY UPDATE;

    FOR workflow IN
        SELECT workflow_id AS id FROM baton.baton_budgets
        WHERE workflow_id = ANY(workflow_ids) ORDER BY workflow_id
    LOOP
        room := baton.baton_room(workflow.id, NULL::bigint) - coalesce((
            SELECT sum(reservation.amount)
            FROM baton.baton_reservations AS reservation
            JOIN baton.oban_jobs AS job ON job.id = reservation.oban_job_id
            WHERE reservation.workflow_id = workflow.id
                AND reservation.called_at > now() - interval '1 minute' -- a step that does not come loses its turn
                AND job.state = 'available'
        ), 0);
        FOR waiting IN
            SELECT reservation.oban_job_id AS id, reservation.amount
            FROM baton.baton_reservations AS reservation
            JOIN baton.workflow_nodes AS node USING (oban_job_id)
            JOIN baton.oban_jobs AS job ON job.id = reservation.oban_job_id
            WHERE reservation.workflow_id = workflow.id
                AND reservation.attempt IS NULL
                AND reservation.amount <= room
                AND node.outcome IS NULL
                AND node.pending = 0
                AND job.state IN ('suspended', 'executing') -- one that is executing is about to be parked
            ORDER BY job.priority, reservation.oban_job_id
        LOOP
            EXIT WHEN room <= 0;
            CONTINUE WHEN waiting.amount > room;
            room := room - waiting.amount;
            called := called || waiting.id;
        END LOOP;
    END LOOP;

    IF cardinality(called) > 0 THEN
        -- In the order of baton_park, which this waits for: what it parks is suspended then, and is promoted.
        PERFORM 1 FROM baton.baton_reservations WHERE oban_job_id = ANY(called) ORDER BY oban_job_id FOR NO KEY UPDATE;
        UPDATE baton.baton_reservations SET called_at = now() WHERE oban_job_id = ANY(called);
        PERFORM baton.baton_promote(called);
    END IF;
END
$function$;
