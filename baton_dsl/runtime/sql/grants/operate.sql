GRANT USAGE ON SCHEMA jobs TO operator;
GRANT USAGE ON SEQUENCE jobs.oban_jobs_id_seq TO operator;
GRANT SELECT, INSERT, UPDATE, DELETE ON jobs.oban_jobs TO operator;
GRANT SELECT, INSERT, UPDATE, DELETE ON jobs.workflow_nodes, jobs.baton_workflows, jobs.baton_flows TO operator;
GRANT SELECT, INSERT, UPDATE, DELETE ON jobs.baton_usage, jobs.baton_captures, jobs.baton_checkpoints TO operator;
GRANT SELECT, INSERT, UPDATE, DELETE ON jobs.baton_budgets, jobs.baton_reservations TO operator;
GRANT SELECT, DELETE ON jobs.baton_spans TO operator;
GRANT SELECT ON jobs.oban_producers, jobs.oban_leaders, jobs.baton_migrations TO operator;
