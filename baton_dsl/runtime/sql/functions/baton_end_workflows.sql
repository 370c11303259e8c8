-- Count the settled nodes in their workflows, and announce the workflows that have ended.
CREATE OR REPLACE FUNCTION baton.baton_end_workflows(settled bigint[])
RETURNS void
LANGUAGE plpgsql
AS $function$
DECLARE
    workflow_ids text[];
    ends jsonb; -- for each workflow, how many nodes settled, and how many were cancelled and discarded
BEGIN
    SELECT array_agg(counts.workflow_id ORDER BY counts.workflow_id),
        jsonb_object_agg(counts.workflow_id, jsonb_build_array(counts.nodes, counts.cancelled, counts.discarded))
    INTO workflow_ids, ends
    FROM (
        SELECT workflow_id,
            count(*) AS nodes,
            count(*) FILTER (WHERE outcome = 'cancelled') AS cancelled,
            count(*) FILTER (WHERE outcome = 'discarded') AS discarded
        FROM baton.workflow_nodes
        WHERE oban_job_id = ANY(settled) AND map_id IS NULL -- items are not counted: their map is
        GROUP BY workflow_id
    ) AS counts;

    IF cardinality(workflow_ids) > 1 THEN -- a single row needs no lock order
        PERFORM 1 FROM baton.baton_workflows WHERE workflow_id = ANY(workflow_ids) ORDER BY workflow_id FOR NO KEY UPDATE;
    END IF;

    WITH counted AS (
        UPDATE baton.baton_workflows
        SET unsettled = unsettled - (ends -> workflow_id ->> 0)::integer,
            cancelled = cancelled + (ends -> workflow_id ->> 1)::integer,
            discarded = discarded + (ends -> workflow_id ->> 2)::integer,
            settled_at = CASE WHEN unsettled = (ends -> workflow_id ->> 0)::integer THEN now() END,
            outcome = CASE
                WHEN unsettled > (ends -> workflow_id ->> 0)::integer THEN NULL
                WHEN discarded + (ends -> workflow_id ->> 2)::integer > 0 THEN 'discarded'
                WHEN cancelled + (ends -> workflow_id ->> 1)::integer > 0 THEN 'cancelled'
                ELSE 'completed'
            END
        WHERE workflow_id = ANY(workflow_ids)
        RETURNING workflow_id, outcome
    )
    SELECT array_agg(workflow_id) INTO workflow_ids FROM counted WHERE outcome IS NOT NULL;
    IF workflow_ids IS NOT NULL THEN
        PERFORM baton.baton_announce(workflow_ids);
    END IF;
END
$function$;
