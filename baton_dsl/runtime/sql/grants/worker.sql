GRANT USAGE ON SCHEMA jobs TO worker;
GRANT USAGE ON SEQUENCE jobs.oban_jobs_id_seq TO worker;
GRANT SELECT, INSERT, UPDATE, DELETE ON jobs.oban_jobs, jobs.oban_producers, jobs.oban_leaders TO worker;
GRANT SELECT, INSERT, UPDATE, DELETE ON jobs.workflow_nodes, jobs.baton_workflows, jobs.baton_flows TO worker;
GRANT SELECT, INSERT, UPDATE, DELETE ON jobs.baton_usage, jobs.baton_captures, jobs.baton_checkpoints TO worker;
GRANT SELECT, INSERT, UPDATE, DELETE ON jobs.baton_budgets, jobs.baton_reservations TO worker;
GRANT SELECT, INSERT, UPDATE, DELETE ON jobs.baton_suspects, jobs.baton_spans TO worker;
GRANT SELECT ON jobs.baton_migrations TO worker;
