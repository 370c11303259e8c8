-- The tables. Every statement may run again: existing objects stay.
--
-- Some numbers and arrays have special values. These are all of them:
--
--   what                                | value   | means
--   ----------------------------------- | ------- | --------------------------------------------------------------------
--   workflow_nodes.optional             | id      | this upstream may be skipped without the node being skipped too
--                                       | {0}     | every upstream may
--                                       | NULL    | no upstream may
--   workflow_nodes.sources              | id      | the parameter at this position takes an item of that node's result
--                                       | 0       | ... or of the value at the same position in `item`
--   workflow_nodes.beside               | id      | an item reads that node's whole result
--                                       | -id     | an item reads the args of that map, which is its root
--   workflow_nodes.held                 | true    | the item waits for a place in the window of its root
--                                       | false   | it has got its place
--                                       | NULL    | its map has no window
--   workflow_nodes.items                | NULL    | the map has not expanded; `pending` counts upstreams
--                                       | number  | it has expanded into this many; `pending` counts children
--   workflow_nodes.pending              | + 1     | while the workflow is paused, or the item is held
--   baton_insert(edge_from)             | -place  | the edge is optional: see workflow_nodes.optional
--   baton_insert(maps -> sources)       | 0       | see workflow_nodes.sources

CREATE TABLE IF NOT EXISTS baton.baton_migrations (
    version integer PRIMARY KEY,
    applied_at timestamptz NOT NULL DEFAULT now()
);

-- One row for each workflow: how many of its nodes have not settled, and how it ended. `stopped_at` is when it was
-- cancelled as a whole: steps that run then are not retried. `hooks` are the hooks that have not started, `told_at` is the
-- end that telemetry has reported, and `fingerprint` identifies the code that inserted it.
CREATE TABLE IF NOT EXISTS baton.baton_workflows (
    workflow_id text COLLATE "C" PRIMARY KEY,
    workflow_label text NOT NULL,
    flow_name text NOT NULL,
    inputs json NOT NULL,
    unsettled integer NOT NULL,
    cancelled integer NOT NULL DEFAULT 0,
    discarded integer NOT NULL DEFAULT 0,
    outcome text COLLATE "C",
    inserted_at timestamptz NOT NULL DEFAULT now(),
    settled_at timestamptz,
    paused_at timestamptz,
    stopped_at timestamptz,
    hooks jsonb,
    told_at timestamptz,
    fingerprint text COLLATE "C",
    CONSTRAINT baton_workflows_unsettled CHECK (unsettled >= 0),
    CONSTRAINT baton_workflows_outcome CHECK (outcome IN ('completed', 'cancelled', 'discarded'))
) WITH (fillfactor = 70);

CREATE INDEX IF NOT EXISTS baton_workflows_label_index ON baton.baton_workflows (workflow_label, inserted_at);

CREATE INDEX IF NOT EXISTS baton_workflows_settled_at_index ON baton.baton_workflows (settled_at);

CREATE INDEX IF NOT EXISTS baton_workflows_fingerprint_index ON baton.baton_workflows (fingerprint);

-- One row for all workflows that the same code has inserted: what its steps take and return. There may be equal rows: a
-- unique key would make inserts wait for the transaction that inserts the first row, and two transactions that insert two
-- flows each could deadlock.
CREATE TABLE IF NOT EXISTS baton.baton_flows (
    fingerprint text COLLATE "C" NOT NULL,
    signatures json NOT NULL,
    inserted_at timestamptz NOT NULL DEFAULT now()
);

CREATE INDEX IF NOT EXISTS baton_flows_fingerprint_index ON baton.baton_flows (fingerprint);

-- One row for each node. `oban_job_id` is not a foreign key: Oban prunes its jobs, and a node outlives its job. Nor is
-- `workflow_id`: one function writes both rows, and the check would cost as much as the insert.
CREATE TABLE IF NOT EXISTS baton.workflow_nodes (
    oban_job_id bigint PRIMARY KEY,
    workflow_id text COLLATE "C" NOT NULL,
    workflow_label text NOT NULL,
    step_name text COLLATE "C" NOT NULL,
    worker text NOT NULL,
    deps text[] NOT NULL,
    upstreams bigint[] NOT NULL,
    downstreams bigint[] NOT NULL,
    pending integer NOT NULL,
    ignore_cancelled boolean NOT NULL,
    ignore_discarded boolean NOT NULL,
    outcome text COLLATE "C",
    by_upstream boolean NOT NULL DEFAULT false,
    -- upstreams that may be skipped without this node being skipped too; {0} for all of them
    optional bigint[],
    -- why it was skipped, or why a map could not expand
    reason text,
    result json,
    -- A map: a node without a job, whose children are its items, or maps of the next level.
    is_map boolean NOT NULL DEFAULT false,
    levels smallint,
    mapping jsonb,
    items integer,
    in_flight integer,
    -- A child of a map. `root_id` is the outermost map; for that map itself, its own id.
    map_id bigint,
    root_id bigint,
    item_index integer,
    held boolean,
    -- Both: for each mapped parameter, the node whose items it takes, or 0 for the value in `item`.
    parameters text[],
    sources bigint[],
    item json,
    -- what else an item reads: nodes, and the args of its root as the negative id
    beside bigint[],
    inserted_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT workflow_nodes_pending CHECK (pending >= 0),
    CONSTRAINT workflow_nodes_outcome CHECK (outcome IN ('completed', 'cancelled', 'discarded', 'skipped'))
) WITH (
    -- Leave room for new row versions in the page (HOT), so that no index entry is written when a node settles.
    fillfactor = 60,
    autovacuum_vacuum_scale_factor = 0.02,
    autovacuum_analyze_scale_factor = 0.02,
    autovacuum_vacuum_cost_limit = 2000,
    autovacuum_vacuum_cost_delay = 1
);

CREATE UNIQUE INDEX IF NOT EXISTS workflow_nodes_workflow_id_step_name_index
    ON baton.workflow_nodes (workflow_id, step_name);

CREATE INDEX IF NOT EXISTS workflow_nodes_map_id_item_index_index
    ON baton.workflow_nodes (map_id, item_index) WHERE map_id IS NOT NULL;

-- The items that wait for a place in the window of their map.
CREATE INDEX IF NOT EXISTS workflow_nodes_root_id_held_index
    ON baton.workflow_nodes (root_id, oban_job_id) WHERE held;

-- Producers that seem to be dead, and since when. Unlogged, like Oban's own table of producers: after a crash of the
-- server, there are no suspects.
CREATE UNLOGGED TABLE IF NOT EXISTS baton.baton_suspects (
    producer text COLLATE "C" PRIMARY KEY,
    suspected_at timestamptz NOT NULL
);
