-- Set the budget of a workflow that has one, and let the steps continue for which it is enough. A budget below what is spent
-- is not set. Returns the old budget and what is spent; no row if there is no such workflow, NULL if it has no budget.
CREATE OR REPLACE FUNCTION baton.baton_approve(id text, new_budget numeric)
RETURNS TABLE (old_budget numeric, spent numeric)
LANGUAGE plpgsql
SET search_path TO pg_catalog, pg_temp
AS $function$
#variable_conflict use_column
BEGIN
    PERFORM 1 FROM baton.baton_budgets WHERE workflow_id = id FOR NO KEY UPDATE;
    RETURN QUERY SELECT own.budget, own.spent
    FROM baton.baton_workflows LEFT JOIN baton.baton_budgets AS own USING (workflow_id)
    WHERE workflow_id = id;
    UPDATE baton.baton_budgets AS workflow SET budget = new_budget
    WHERE workflow_id = id AND workflow.spent <= new_budget;
    IF FOUND THEN
        PERFORM baton.baton_admit(ARRAY[id]);
    END IF;
END
$function$;
