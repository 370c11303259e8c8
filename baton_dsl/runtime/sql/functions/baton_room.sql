-- What is left of the budget of a workflow: neither spent nor reserved by a running attempt. NULL if it has no budget. The
-- reservation of the job `but` is not counted.
CREATE OR REPLACE FUNCTION baton.baton_room(of_workflow text, but bigint)
RETURNS numeric
LANGUAGE sql
STABLE
AS $function$
    SELECT workflow.budget - workflow.spent - coalesce((
        SELECT sum(greatest(reservation.amount - reservation.used, 0))
        FROM baton.baton_reservations AS reservation
        JOIN baton.oban_jobs AS job ON job.id = reservation.oban_job_id
        WHERE reservation.workflow_id = of_workflow
            AND reservation.oban_job_id IS DISTINCT FROM but
            AND job.state = 'executing'
            AND job.attempt = reservation.attempt
    ), 0)
    FROM baton.baton_budgets AS workflow WHERE workflow.workflow_id = of_workflow
$function$;
