-- Whoever changes the state of a job, its node changes in the same transaction: after an ack of a plain worker, Oban Web,
-- the lifeline, a worker in another language, psql.
CREATE OR REPLACE FUNCTION baton.baton_job_changed()
RETURNS trigger
LANGUAGE plpgsql
SET search_path TO pg_catalog, pg_temp
AS $function$
BEGIN
    IF TG_OP = 'DELETE' THEN
        PERFORM baton.baton_end(ARRAY[OLD.id], 'cancelled');
    ELSIF NEW.state = OLD.state OR current_setting('baton_dsl.settling', true) = 'on' THEN
        NULL; -- our own change
    ELSIF OLD.state = 'executing'
        AND current_setting('baton_dsl.rescuing', true) IS DISTINCT FROM 'on'
        AND (
            (NEW.state = 'available' AND NEW.meta -> 'rescued' IS DISTINCT FROM OLD.meta -> 'rescued')
            OR (
                NEW.state = 'discarded'
                AND NEW.errors = OLD.errors
                AND position('''rescued''' IN current_query()) > 0
            )
        )
    THEN
        -- Oban's lifeline considers every job that has run for five minutes an orphan. Steps are left to baton_rescue, so
        -- the row is restored. The lifeline is recognized by its statement: it counts rescues in `meta`, also when it
        -- discards a last attempt.
        UPDATE baton.oban_jobs SET state = OLD.state, meta = OLD.meta, discarded_at = OLD.discarded_at WHERE id = OLD.id;
    ELSIF NEW.state IN ('completed', 'cancelled', 'discarded') THEN
        PERFORM baton.baton_end(ARRAY[NEW.id], NEW.state::text);
    ELSIF OLD.state IN ('completed', 'cancelled', 'discarded') THEN
        IF NEW.meta ? 'rescued' THEN -- start to count crashes again
            UPDATE baton.oban_jobs SET meta = meta - 'rescued' WHERE id = NEW.id;
        END IF;
        -- The first of the jobs that one statement has retried handles all of them.
        PERFORM baton.baton_revive(node.workflow_id)
        FROM baton.workflow_nodes AS node
        JOIN baton.oban_jobs AS job ON job.id = node.oban_job_id
        WHERE node.oban_job_id = NEW.id
            AND node.outcome IN ('cancelled', 'discarded')
            AND job.state NOT IN ('completed', 'cancelled', 'discarded');
        PERFORM baton.baton_cancel_jobs(ARRAY[NEW.id], 'BTN512: skipped, since an upstream was')
        FROM baton.workflow_nodes AS node
        WHERE node.oban_job_id = NEW.id AND node.outcome = 'skipped' AND node.by_upstream;
    ELSIF NEW.state IN ('scheduled', 'available', 'retryable') AND OLD.state IN ('executing', 'suspended') THEN
        PERFORM baton.baton_return(NEW.id);
    END IF;
    IF OLD.state = 'executing'
        AND OLD.meta ? 'baton_reserve'
        AND current_setting('baton_dsl.settling', true) IS DISTINCT FROM 'on'
    THEN -- release what the attempt has not used of its reservation
        PERFORM baton.baton_admit(ARRAY[OLD.meta ->> 'workflow_id']);
    END IF;
    RETURN NULL;
END
$function$;
