-- As `baton_settle`, for one job whose function returned a result. In a chain each settle is of one, and each is a hop that
-- somebody waits for. So what is as in a chain is done here in as few statements as possible; all else (items of maps, a map
-- below, several downstreams, a node that has settled before) is left to `baton_settle`.
--
-- `place_by` takes the place that the job leaves in its queue; NULL if nobody may. What is claimed for it comes back with
-- what its gate would read: see `baton_passage`, and `most` there.
CREATE OR REPLACE FUNCTION baton.baton_settle_one(
    job_id bigint, job_attempt smallint, job_result text, place_queue text, place_priority smallint, place_by text[],
    yields boolean, most integer,
    OUT is_acknowledged boolean, OUT id bigint, OUT state text, OUT queue text, OUT worker text, OUT attempt smallint,
    OUT max_attempts smallint, OUT priority smallint, OUT args jsonb, OUT meta jsonb, OUT errors jsonb, OUT tags text[],
    OUT attempted_by text[], OUT inserted_at timestamp, OUT attempted_at timestamp, OUT scheduled_at timestamp,
    OUT passage text
)
LANGUAGE plpgsql
SET search_path TO pg_catalog, pg_temp
SET lock_timeout = '500ms'
SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off
SET jit = off
AS $function$
#variable_conflict use_column
DECLARE
    own record;
    below record;
    claimed_id bigint;
    is_stopped boolean;
    marked text; -- tells our triggers that we know of the change
BEGIN
    UPDATE baton.workflow_nodes AS node SET outcome = 'completed', result = job_result::json, updated_at = now()
    WHERE node.oban_job_id = job_id AND node.outcome IS NULL AND node.map_id IS NULL AND cardinality(node.downstreams) < 2
        AND (
            SELECT other.is_map OR other.map_id IS NOT NULL
            FROM baton.workflow_nodes AS other WHERE other.oban_job_id = node.downstreams[1]
        ) IS NOT TRUE
    RETURNING node.workflow_id, node.step_name, node.worker, node.downstreams[1] AS below_id INTO own;
    IF NOT FOUND THEN
        SELECT coalesce(bool_or(job_id = ANY(settled.acknowledged)), false), max(settled.id)
        INTO is_acknowledged, claimed_id
        FROM baton.baton_settle(
            ARRAY[job_id], ARRAY[job_attempt], ARRAY[job_result], ARRAY[NULL::text],
            CASE WHEN place_by IS NULL THEN '[]' ELSE json_build_array(json_build_object(
                'queue', place_queue, 'priority', place_priority, 'places', 1, 'by', place_by, 'yields', yields
            )) END,
            false
        ) AS settled;
        passage := CASE WHEN claimed_id IS NOT NULL THEN baton.baton_passage(claimed_id, most) END;
    ELSE
        marked := set_config('baton_dsl.settling', 'on', true);
        UPDATE baton.oban_jobs AS job SET state = 'completed', completed_at = timezone('UTC', now())
        WHERE job.id = job_id AND job.state = 'executing' AND job.attempt = job_attempt;
        is_acknowledged := FOUND;
        marked := set_config('baton_dsl.settling', 'off', true);

        UPDATE baton.workflow_nodes AS node SET pending = node.pending - 1
        WHERE node.oban_job_id = own.below_id AND node.outcome IS NULL
        RETURNING node.pending, node.step_name, node.upstreams = ARRAY[job_id] AND node.beside IS NULL AS is_chain
        INTO below;
        IF below.pending = 0 THEN
            claimed_id := baton.baton_claim(
                own.below_id, place_queue, place_priority, CASE WHEN is_acknowledged THEN place_by END, yields
            );
        END IF;

        UPDATE baton.baton_workflows AS workflow
        SET unsettled = workflow.unsettled - 1, settled_at = NULL, outcome = NULL
        WHERE workflow.workflow_id = own.workflow_id AND workflow.unsettled > 1
        RETURNING workflow.stopped_at IS NOT NULL INTO is_stopped;
        IF NOT FOUND THEN
            PERFORM baton.baton_end_workflows(ARRAY[job_id]);
        END IF;
        passage := CASE
            WHEN claimed_id IS NULL THEN NULL
            WHEN below.is_chain AND octet_length(job_result) <= most THEN json_build_array(
                own.workflow_id, below.step_name, NULL, 0, is_stopped,
                json_build_array(json_build_array(own.step_name, own.worker, 'completed', job_result))
            )
            ELSE baton.baton_passage(claimed_id, most)
        END;
    END IF;
    SELECT job.id, job.state, job.queue, job.worker, job.attempt, job.max_attempts, job.priority, job.args, job.meta,
        job.errors, job.tags, job.attempted_by, job.inserted_at, job.attempted_at, job.scheduled_at
    INTO id, state, queue, worker, attempt, max_attempts, priority, args, meta, errors, tags, attempted_by,
        inserted_at, attempted_at, scheduled_at
    FROM baton.oban_jobs AS job WHERE job.id = claimed_id;
END
$function$;
