GRANT USAGE ON SCHEMA jobs TO reader;
GRANT SELECT ON jobs.oban_jobs, jobs.oban_producers, jobs.oban_leaders TO reader;
GRANT SELECT ON jobs.workflow_nodes, jobs.baton_workflows, jobs.baton_flows, jobs.baton_migrations TO reader;
GRANT SELECT ON jobs.baton_usage, jobs.baton_captures, jobs.baton_budgets, jobs.baton_reservations TO reader;
