-- What version 3 adds. Only columns with a default, tables and indexes: the code of version 2 works on beside it.
-- Each statement may run again (`ADD COLUMN IF NOT EXISTS`).

-- Seeing what runs: a page of the list, the newest first, of all workflows, of one flow, or of one outcome (none while it
-- is under way).
CREATE INDEX IF NOT EXISTS baton_workflows_inserted_at_index ON baton.baton_workflows (inserted_at, workflow_id);

CREATE INDEX IF NOT EXISTS baton_workflows_flow_name_index ON baton.baton_workflows (flow_name, inserted_at);

CREATE INDEX IF NOT EXISTS baton_workflows_outcome_index ON baton.baton_workflows (outcome, inserted_at);

-- The number of steps of a workflow, so that a list need not count node rows, of which maps may have a hundred
-- -- thousand. NULL for workflows inserted before this migration; their steps are counted.
ALTER TABLE baton.baton_workflows ADD COLUMN IF NOT EXISTS steps integer;

-- Workflows that are inserted together: the function `baton_insert_many`, without which the code of this version can't insert.

-- A hop of a chain: the function `baton_settle_one`, without which a worker of this version can't settle.

-- Windows of maps. Of a root: bounds of the ids of those of its items that wait for a place alone; NULL is no bound.
ALTER TABLE baton.workflow_nodes ADD COLUMN IF NOT EXISTS held_from bigint;
ALTER TABLE baton.workflow_nodes ADD COLUMN IF NOT EXISTS held_to bigint;

-- --- Calls of language models -------------------------------------------------------------------------------------
-- What workflows may cost, and what counts against that; one row for each that has a budget. A table of its own: a column
-- of `baton_workflows` would lock that against readers for a moment.
CREATE TABLE IF NOT EXISTS baton.baton_budgets (
    workflow_id text COLLATE "C" PRIMARY KEY,
    budget numeric NOT NULL,
    spent numeric NOT NULL DEFAULT 0,
    CONSTRAINT baton_budgets_budget CHECK (budget >= 0)
) WITH (fillfactor = 70);

-- One row a call of a model, of failed attempts too. The worker makes the id, so that a row that is written again, since
-- the answer to the first time was lost, is there once. `cost` is NULL if no price is known.
CREATE TABLE IF NOT EXISTS baton.baton_usage (
    id uuid PRIMARY KEY,
    workflow_id text COLLATE "C" NOT NULL,
    step_name text COLLATE "C" NOT NULL,
    node_name text COLLATE "C" NOT NULL,
    oban_job_id bigint NOT NULL,
    attempt integer NOT NULL,
    model text COLLATE "C",
    provider text COLLATE "C",
    tier text COLLATE "C",
    input_tokens bigint NOT NULL,
    cached_tokens bigint NOT NULL,
    cache_write_tokens bigint NOT NULL,
    output_tokens bigint NOT NULL,
    reasoning_tokens bigint NOT NULL,
    latency interval,
    cost numeric,
    remark text,
    recorded_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT baton_usage_cost CHECK (cost >= 0)
);

CREATE INDEX IF NOT EXISTS baton_usage_workflow_id_index ON baton.baton_usage (workflow_id);

CREATE INDEX IF NOT EXISTS baton_usage_recorded_at_index ON baton.baton_usage (recorded_at);

-- One row an exchange with a model under `debug=True`, without its secrets. Pruned with its workflow, or earlier.
CREATE TABLE IF NOT EXISTS baton.baton_captures (
    id uuid PRIMARY KEY,
    workflow_id text COLLATE "C" NOT NULL,
    step_name text COLLATE "C" NOT NULL,
    node_name text COLLATE "C" NOT NULL,
    oban_job_id bigint NOT NULL,
    attempt integer NOT NULL,
    number integer NOT NULL,
    model text COLLATE "C",
    request json NOT NULL,
    response json,
    error text,
    captured_at timestamptz NOT NULL
);

CREATE INDEX IF NOT EXISTS baton_captures_workflow_id_step_name_index
    ON baton.baton_captures (workflow_id, step_name, captured_at);

CREATE INDEX IF NOT EXISTS baton_captures_captured_at_index ON baton.baton_captures (captured_at);

-- What `StepContext.once` has stored: the results of calls within a step that has no result yet. `number` counts the
-- calls of one name in an attempt.
CREATE TABLE IF NOT EXISTS baton.baton_checkpoints (
    oban_job_id bigint NOT NULL,
    name text COLLATE "C" NOT NULL,
    number integer NOT NULL,
    result json NOT NULL,
    stored_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (oban_job_id, name, number)
);

-- What attempts have reserved of the budgets of their workflows. A row with an `attempt` counts while its job is executing
-- in it. One without is of a job that waits until its amount is left; `called_at` says that it was told to ask again.
-- Whoever grants or calls holds the row of the workflow in `baton_budgets`.
CREATE TABLE IF NOT EXISTS baton.baton_reservations (
    oban_job_id bigint PRIMARY KEY,
    workflow_id text COLLATE "C" NOT NULL,
    amount numeric NOT NULL,
    used numeric NOT NULL DEFAULT 0,
    attempt smallint,
    called_at timestamptz
);

CREATE INDEX IF NOT EXISTS baton_reservations_workflow_id_index ON baton.baton_reservations (workflow_id);

-- Traces: the span that was current when a workflow was inserted, as W3C's `traceparent`; and that of the last attempt of
-- each job, for the links of the steps behind it. Only where tracing is on. Unlogged: after a crash of the server, links
-- are missing, and nothing else.
ALTER TABLE baton.baton_workflows ADD COLUMN IF NOT EXISTS traceparent text COLLATE "C";

CREATE UNLOGGED TABLE IF NOT EXISTS baton.baton_spans (
    oban_job_id bigint PRIMARY KEY,
    traceparent text COLLATE "C" NOT NULL
);

-- Rights. Whoever had them on the nodes of workflows has the same on the tables of this version: an upgrade takes away
-- nothing from workers, operators and inserters whose rights were granted before it.
DO $rights$
DECLARE
    own record;
BEGIN
    FOR own IN
        SELECT CASE WHEN acl.grantee = 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(acl.grantee)) END AS grantee,
            string_agg(acl.privilege_type, ', ') AS privileges
        FROM pg_class CROSS JOIN LATERAL aclexplode(relacl) AS acl
        WHERE pg_class.oid = 'baton.workflow_nodes'::regclass
            AND acl.grantee <> relowner
            AND acl.privilege_type IN ('SELECT', 'INSERT', 'UPDATE', 'DELETE')
        GROUP BY acl.grantee
    LOOP
        EXECUTE 'GRANT ' || own.privileges || ' ON baton.baton_usage, baton.baton_captures TO ' || own.grantee;
        EXECUTE 'GRANT ' || own.privileges || ' ON baton.baton_checkpoints, baton.baton_spans TO ' || own.grantee;
        EXECUTE 'GRANT ' || own.privileges || ' ON baton.baton_budgets, baton.baton_reservations TO ' || own.grantee;
    END LOOP;
END
$rights$;
