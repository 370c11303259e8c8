-- One trigger, with a short condition: PostgreSQL parses the conditions of all triggers anew for each statement, and
-- Oban acknowledges each job with one. So what kind of change it was is told apart in the function, for steps only.
CREATE OR REPLACE TRIGGER baton_job_changed
AFTER UPDATE OF state ON baton.oban_jobs
FOR EACH ROW
WHEN (NEW.meta ? 'workflow_id')
EXECUTE FUNCTION baton.baton_job_changed();
