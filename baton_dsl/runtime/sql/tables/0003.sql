-- What version 3 adds. Only columns with a default, tables and indexes: the code of version 2 works on beside it.
-- Each statement may run again (`ADD COLUMN IF NOT EXISTS`).

-- Seeing what runs: a page of the list, the newest first, of all workflows, of one flow, or of one outcome (none while it
-- is under way).
CREATE INDEX IF NOT EXISTS baton_workflows_inserted_at_index ON baton.baton_workflows (inserted_at, workflow_id);

CREATE INDEX IF NOT EXISTS baton_workflows_flow_name_index ON baton.baton_workflows (flow_name, inserted_at);

CREATE INDEX IF NOT EXISTS baton_workflows_outcome_index ON baton.baton_workflows (outcome, inserted_at);

-- Workflows that are inserted together: the function `baton_insert_many`, without which the code of this version can't insert.
