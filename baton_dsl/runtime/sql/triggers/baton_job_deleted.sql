CREATE OR REPLACE TRIGGER baton_job_deleted
AFTER DELETE ON oban_jobs
FOR EACH ROW
WHEN (
    OLD.state NOT IN ('completed', 'cancelled', 'discarded')
    AND OLD.meta ? 'workflow_id'
    AND current_setting('baton.settling', true) IS DISTINCT FROM 'on'
)
EXECUTE FUNCTION baton_job_changed();
