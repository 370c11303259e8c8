-- What version 3 adds. Only columns with a default, tables and indexes: the code of version 2 works on beside it.
-- Each statement may run again (`ADD COLUMN IF NOT EXISTS`).

-- Workflows that are inserted together: the function `baton_insert_many`, without which the code of this version can't insert.

-- Windows of maps. Of a root: bounds of the ids of those of its items that wait for a place alone; NULL is no bound.
ALTER TABLE baton.workflow_nodes ADD COLUMN IF NOT EXISTS held_from bigint;
ALTER TABLE baton.workflow_nodes ADD COLUMN IF NOT EXISTS held_to bigint;
