-- The steps of workflows that are being inserted, combined with their templates.
CREATE OR REPLACE FUNCTION baton.baton_new_steps(
    ids text[], labels text[], are_debug boolean[], workflow integer[], job_ids bigint[], names json, args json,
    template integer[], templates json
)
RETURNS TABLE (
    workflow_id text, label text, is_debug boolean, "position" bigint, job_id bigint, name text, args json, worker text,
    queue text, max_attempts smallint, priority smallint, tags text[], scheduled_at timestamp, meta jsonb,
    ignore_cancelled boolean, ignore_discarded boolean
)
LANGUAGE sql
STABLE
AS $function$
    SELECT whole.id, whole.label, whole.is_debug, given.place, job_ids[given.place], given.name, given.args, shape.worker,
        shape.queue, shape.max_attempts, shape.priority, shape.tags, shape.scheduled_at, shape.meta,
        shape.ignore_cancelled, shape.ignore_discarded
    FROM ROWS FROM (
        json_array_elements_text(names), json_array_elements(args), unnest(template), unnest(workflow)
    ) WITH ORDINALITY AS given(name, args, number, workflow, place)
    JOIN unnest(ids, labels, are_debug) WITH ORDINALITY AS whole(id, label, is_debug, place)
        ON whole.place = given.workflow
    JOIN json_to_recordset(templates) AS shape(
        number integer, worker text, queue text, max_attempts smallint, priority smallint, tags text[],
        scheduled_at timestamp, meta jsonb, ignore_cancelled boolean, ignore_discarded boolean
    ) USING (number)
$function$;
