-- The nodes that can't run any more because one of `ended` was cancelled or discarded (`how` is 'cancelled'), or was skipped
-- although its result is needed ('skipped').
--
-- One statement finds all of them, however long the chain, without recursive calls or cascading triggers. A node whose job
-- has ended or is gone was changed by the same statement, and settles by itself. For a map that has expanded, its children
-- decide. A map always needs the collection that it maps over.
CREATE OR REPLACE FUNCTION baton.baton_reach(ended bigint[], how text)
RETURNS bigint[]
LANGUAGE plpgsql
STABLE
AS $function$
DECLARE
    doomed bigint[];
BEGIN
    WITH RECURSIVE reached(id, outcome, is_new) AS (
        SELECT origin.oban_job_id, origin.outcome, false
        FROM unnest(ended) AS given(id)
        CROSS JOIN LATERAL (SELECT * FROM baton.workflow_nodes WHERE oban_job_id = given.id OFFSET 0) AS origin
        WHERE origin.outcome = how OR (how = 'cancelled' AND origin.outcome = 'discarded')
        UNION
        SELECT node.oban_job_id, how, true
        FROM reached
        CROSS JOIN LATERAL (SELECT * FROM baton.workflow_nodes WHERE oban_job_id = reached.id OFFSET 0) AS above
        CROSS JOIN unnest(above.downstreams) AS below(id)
        CROSS JOIN LATERAL (
            SELECT workflow_nodes.*, above.oban_job_id = ANY(sources) AND is_map AS is_mapped_over
            FROM baton.workflow_nodes WHERE oban_job_id = below.id OFFSET 0
        ) AS node
        LEFT JOIN LATERAL (SELECT state FROM baton.oban_jobs WHERE id = below.id OFFSET 0) AS job ON true
        WHERE node.outcome IS NULL
            AND node.items IS NULL
            AND (node.is_map OR job.state NOT IN ('completed', 'cancelled', 'discarded'))
            AND CASE
                WHEN node.is_mapped_over THEN above.items IS NULL
                ELSE NOT baton.baton_permits(
                    reached.outcome,
                    node.ignore_cancelled,
                    node.ignore_discarded,
                    node.optional && ARRAY[above.oban_job_id, 0]
                )
            END
    )
    SELECT array_agg(id ORDER BY id) INTO doomed FROM reached WHERE is_new;
    RETURN doomed;
END
$function$;
