-- One trigger with a short condition, because PostgreSQL parses the conditions of all triggers for each statement, and Oban
-- acknowledges each job with a statement. So the function distinguishes the kinds of changes, for steps only.
CREATE OR REPLACE TRIGGER baton_job_changed
AFTER UPDATE OF state ON baton.oban_jobs
FOR EACH ROW
WHEN (NEW.meta ? 'workflow_id')
EXECUTE FUNCTION baton.baton_job_changed();
