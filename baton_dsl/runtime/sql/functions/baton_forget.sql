-- Delete the checkpoints and reservations of steps that have settled.
CREATE OR REPLACE FUNCTION baton.baton_forget(settled bigint[])
RETURNS void
LANGUAGE plpgsql
AS $function$
DECLARE
    freed text[];
BEGIN
    DELETE FROM baton.baton_checkpoints WHERE oban_job_id = ANY(settled);
    WITH gone AS (
        DELETE FROM baton.baton_reservations WHERE oban_job_id = ANY(settled) RETURNING workflow_id
    )
    SELECT array_agg(DISTINCT workflow_id) INTO freed FROM gone;
    IF freed IS NOT NULL THEN
        PERFORM baton.baton_admit(freed);
    END IF;
END
$function$;
