-- Let the next items of maps with a window go, as many as it has room for: those that wait for nothing but this, in
-- order. Returns them. An item that is locked is in other hands, and they come here next.
CREATE OR REPLACE FUNCTION baton.baton_release(root_ids bigint[])
RETURNS bigint[]
LANGUAGE plpgsql
AS $function$
DECLARE
    released bigint[];
    counts jsonb;
BEGIN
    PERFORM 1 FROM baton.workflow_nodes WHERE oban_job_id = ANY(root_ids) ORDER BY oban_job_id FOR NO KEY UPDATE;

    WITH freed AS (
        UPDATE baton.workflow_nodes
        SET held = false, pending = pending - 1
        WHERE oban_job_id = ANY(ARRAY(
            SELECT item.oban_job_id
            FROM unnest(root_ids) AS given(id)
            CROSS JOIN LATERAL (SELECT * FROM baton.workflow_nodes WHERE oban_job_id = given.id OFFSET 0) AS root
            CROSS JOIN LATERAL (
                SELECT waiting.oban_job_id
                FROM baton.workflow_nodes AS waiting
                WHERE waiting.root_id = given.id AND waiting.held AND waiting.pending = 1 AND waiting.outcome IS NULL
                    AND EXISTS ( -- else it is about to settle, by the same statement that made this one settle
                        SELECT FROM baton.oban_jobs AS job
                        WHERE job.id = waiting.oban_job_id AND job.state NOT IN ('completed', 'cancelled', 'discarded')
                    )
                ORDER BY waiting.root_id, waiting.oban_job_id
                LIMIT greatest((root.mapping ->> 'max_concurrency')::integer - root.in_flight, 0)
                FOR NO KEY UPDATE SKIP LOCKED
            ) AS item
        ))
        RETURNING oban_job_id, root_id
    )
    SELECT array_agg(oban_job_id), jsonb_object_agg(root_id, items)
    INTO released, counts
    FROM freed
    JOIN (SELECT root_id, count(*) AS items FROM freed GROUP BY root_id) AS each USING (root_id);

    IF released IS NOT NULL THEN
        UPDATE baton.workflow_nodes
        SET in_flight = in_flight + (counts ->> oban_job_id::text)::integer
        WHERE oban_job_id = ANY(root_ids) AND counts ? oban_job_id::text;
    END IF;
    RETURN released;
END
$function$;
