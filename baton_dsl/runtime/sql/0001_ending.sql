-- The end of a workflow.

-- Tell that workflows have ended, in the transaction in which their last nodes settle.
CREATE OR REPLACE FUNCTION baton_announce(workflow_ids text[])
RETURNS void
LANGUAGE plpgsql
AS $function$
#variable_conflict use_column
DECLARE
    notified bigint;
BEGIN
    SELECT count(pg_notify(
        current_schema() || '.oban_workflow',
        json_build_object('workflow_id', workflow_id, 'outcome', outcome)::text
    )) INTO notified
    FROM baton_workflows WHERE workflow_id = ANY(workflow_ids);
END
$function$;
