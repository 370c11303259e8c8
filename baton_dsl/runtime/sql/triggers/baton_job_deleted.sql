CREATE OR REPLACE TRIGGER baton_job_deleted
AFTER DELETE ON baton.oban_jobs
FOR EACH ROW
WHEN (
    OLD.state NOT IN ('completed', 'cancelled', 'discarded')
    AND OLD.meta ? 'workflow_id'
    AND current_setting('baton_dsl.settling', true) IS DISTINCT FROM 'on'
)
EXECUTE FUNCTION baton.baton_job_changed();
