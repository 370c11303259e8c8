-- Insert the rows of new workflows in the order of their ids, so that concurrent inserts do not deadlock. Returns the
-- positions of those whose ids exist already.
CREATE OR REPLACE FUNCTION baton.baton_insert_workflows(
    ids text[], labels text[], flow text, inputs text[], sizes integer[], hooks_to_be json, code text, budgets numeric[],
    traceparent text
)
RETURNS integer[]
LANGUAGE plpgsql
AS $function$
#variable_conflict use_variable
DECLARE
    taken integer[] := '{}';
    place integer;
BEGIN
    FOR place IN SELECT each.place FROM unnest(ids) WITH ORDINALITY AS each(id, place) ORDER BY each.id COLLATE "C" LOOP
        INSERT INTO baton.baton_workflows (
            workflow_id, workflow_label, flow_name, inputs, unsettled, steps, hooks, fingerprint, traceparent
        )
        VALUES (
            ids[place], labels[place], flow, inputs[place]::json, sizes[place], sizes[place],
            nullif((hooks_to_be -> (place - 1))::text, 'null')::jsonb, code, traceparent
        )
        ON CONFLICT DO NOTHING;
        IF NOT FOUND THEN -- a role that may only insert may not read existing ones
            taken := taken || place;
        ELSIF budgets[place] IS NOT NULL THEN
            INSERT INTO baton.baton_budgets (workflow_id, budget) VALUES (ids[place], budgets[place]);
        END IF;
    END LOOP;
    RETURN taken;
END
$function$;
