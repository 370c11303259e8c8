-- Let the next items of maps with a window go, as many as it has room for: those that wait for nothing but this, in
-- order. Returns them. An item that is locked is in other hands, and they come here next.
--
-- `held_from` and `held_to` of a root are bounds of the items that it may let go: all that wait for a place alone lie
-- between. NULL is no bound. So a walk begins where the one before has ended, however many dead entries of the index lie
-- before that, and ends where nothing more can be.
--
-- The walk takes its items in the order of the one index that has only held ones. Rows are compared as a whole, and no sort
-- is allowed, so that the planner has no other way: it would read all that wait, or all that ever did.
CREATE OR REPLACE FUNCTION baton.baton_release(root_ids bigint[])
RETURNS bigint[]
LANGUAGE plpgsql
SET enable_sort = off
SET enable_bitmapscan = off
AS $function$
DECLARE
    found bigint[];
    released bigint[];
    changes jsonb; -- for each root: how many were released, and its new bounds
BEGIN
    PERFORM 1 FROM baton.workflow_nodes WHERE oban_job_id = ANY(root_ids) ORDER BY oban_job_id FOR NO KEY UPDATE;

    SELECT array_agg(item.oban_job_id) INTO found
    FROM unnest(root_ids) AS given(id)
    CROSS JOIN LATERAL (SELECT * FROM baton.workflow_nodes WHERE oban_job_id = given.id OFFSET 0) AS root
    CROSS JOIN LATERAL (
        SELECT waiting.oban_job_id
        FROM (
            SELECT held.oban_job_id, held.pending, held.outcome
            FROM baton.workflow_nodes AS held
            WHERE held.held
                AND (held.root_id, held.oban_job_id) >= (root.oban_job_id, coalesce(root.held_from, 0))
                AND (held.root_id, held.oban_job_id) <= (root.oban_job_id, coalesce(root.held_to, 9223372036854775807))
            ORDER BY held.root_id, held.oban_job_id
            OFFSET 0
        ) AS waiting
        CROSS JOIN LATERAL (SELECT state FROM baton.oban_jobs WHERE id = waiting.oban_job_id OFFSET 0) AS job
        WHERE waiting.pending = 1 AND waiting.outcome IS NULL
            -- else it is about to settle, by the same statement that made this one settle
            AND job.state NOT IN ('completed', 'cancelled', 'discarded')
        LIMIT greatest((root.mapping ->> 'max_concurrency')::integer - root.in_flight, 0)
    ) AS item;

    WITH freed AS (
        UPDATE baton.workflow_nodes
        SET held = false, pending = pending - 1
        WHERE oban_job_id = ANY(ARRAY(
                SELECT oban_job_id FROM baton.workflow_nodes
                WHERE oban_job_id = ANY(found) FOR NO KEY UPDATE SKIP LOCKED
            ))
            AND held AND pending = 1 AND outcome IS NULL
        RETURNING oban_job_id
    )
    SELECT array_agg(oban_job_id ORDER BY oban_job_id) INTO released FROM freed;

    WITH items AS (
        SELECT item.root_id, count(*) AS found, count(*) FILTER (WHERE item.oban_job_id = ANY(released)) AS released,
            max(item.oban_job_id) AS last, min(item.oban_job_id) FILTER (WHERE item.held) AS first_left -- in other hands
        FROM baton.workflow_nodes AS item
        WHERE item.oban_job_id = ANY(found)
        GROUP BY item.root_id
    )
    SELECT jsonb_object_agg(root.oban_job_id, jsonb_build_object(
        'released', coalesce(items.released, 0),
        'from', coalesce(items.first_left, items.last + 1, 9223372036854775807),
        'is_all', items.first_left IS NULL
            AND coalesce(items.found, 0) < (root.mapping ->> 'max_concurrency')::integer - root.in_flight
    ))
    INTO changes
    FROM baton.workflow_nodes AS root
    LEFT JOIN items ON items.root_id = root.oban_job_id
    WHERE root.oban_job_id = ANY(root_ids)
        AND (root.mapping ->> 'max_concurrency')::integer > root.in_flight;

    UPDATE baton.workflow_nodes AS root
    SET in_flight = root.in_flight + (changes -> root.oban_job_id::text ->> 'released')::integer,
        held_from = (changes -> root.oban_job_id::text ->> 'from')::bigint,
        held_to = CASE WHEN (changes -> root.oban_job_id::text ->> 'is_all')::boolean THEN 0 ELSE root.held_to END
    WHERE root.oban_job_id = ANY(root_ids) AND changes ? root.oban_job_id::text;
    RETURN released;
END
$function$;
