GRANT USAGE ON SCHEMA jobs TO inserter;
GRANT USAGE ON SEQUENCE jobs.oban_jobs_id_seq TO inserter;
GRANT INSERT ON jobs.oban_jobs, jobs.workflow_nodes, jobs.baton_workflows, jobs.baton_flows, jobs.baton_budgets TO inserter;
GRANT SELECT (fingerprint) ON jobs.baton_flows TO inserter;
GRANT SELECT ON jobs.baton_migrations TO inserter;
