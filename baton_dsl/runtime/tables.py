"""Our tables, and some columns of Oban's, as SQLAlchemy Core: for your own reports, and for Alembic's autogenerate.

Nothing of baton-dsl imports this module: inserts and handles work without SQLAlchemy.

The schema is left out: give the prefix with `schema_translate_map={None: prefix}`. The SQL of the migrations is what
creates the tables; a test compares the two.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import BigInteger, Boolean, Column, DateTime, Index, Integer, MetaData, SmallInteger, Table, Text, text
from sqlalchemy.dialects.postgresql import ARRAY, ENUM, JSON, JSONB

metadata: Final = MetaData()
"""Holds `baton_migrations`, `baton_workflows`, `baton_flows`, `workflow_nodes` and `baton_suspects`."""

_name: Final = Text(collation="C")

migrations: Final = Table(
    "baton_migrations",
    metadata,
    Column("version", Integer, primary_key=True, autoincrement=False),
    Column("applied_at", DateTime(timezone=True), nullable=False),
)

workflows: Final = Table(
    "baton_workflows",
    metadata,
    Column("workflow_id", _name, primary_key=True),
    Column("workflow_label", Text, nullable=False),
    Column("flow_name", Text, nullable=False),
    Column("inputs", JSON, nullable=False),
    Column("unsettled", Integer, nullable=False),
    Column("cancelled", Integer, nullable=False),
    Column("discarded", Integer, nullable=False),
    Column("outcome", _name),
    Column("inserted_at", DateTime(timezone=True), nullable=False),
    Column("settled_at", DateTime(timezone=True)),
    Column("paused_at", DateTime(timezone=True)),
    Column("stopped_at", DateTime(timezone=True)),
    Column("hooks", JSONB),
    Column("told_at", DateTime(timezone=True)),
    Column("fingerprint", _name),
    Index("baton_workflows_label_index", "workflow_label", "inserted_at"),
    Index("baton_workflows_settled_at_index", "settled_at"),
    Index("baton_workflows_fingerprint_index", "fingerprint"),
)

flows: Final = Table(
    "baton_flows",
    metadata,
    Column("fingerprint", _name, nullable=False),
    Column("signatures", JSON, nullable=False),
    Column("inserted_at", DateTime(timezone=True), nullable=False),
    Index("baton_flows_fingerprint_index", "fingerprint"),
)

nodes: Final = Table(
    "workflow_nodes",
    metadata,
    Column("oban_job_id", BigInteger, primary_key=True, autoincrement=False),
    Column("workflow_id", _name, nullable=False),
    Column("workflow_label", Text, nullable=False),
    Column("step_name", _name, nullable=False),
    Column("worker", Text, nullable=False),
    Column("deps", ARRAY(Text), nullable=False),
    Column("upstreams", ARRAY(BigInteger), nullable=False),
    Column("downstreams", ARRAY(BigInteger), nullable=False),
    Column("pending", Integer, nullable=False),
    Column("ignore_cancelled", Boolean, nullable=False),
    Column("ignore_discarded", Boolean, nullable=False),
    Column("outcome", _name),
    Column("by_upstream", Boolean, nullable=False),
    Column("optional", ARRAY(BigInteger)),
    Column("reason", Text),
    Column("result", JSON),
    Column("is_map", Boolean, nullable=False),
    Column("levels", SmallInteger),
    Column("mapping", JSONB),
    Column("items", Integer),
    Column("in_flight", Integer),
    Column("map_id", BigInteger),
    Column("root_id", BigInteger),
    Column("item_index", Integer),
    Column("held", Boolean),
    Column("held_from", BigInteger),
    Column("held_to", BigInteger),
    Column("parameters", ARRAY(Text)),
    Column("sources", ARRAY(BigInteger)),
    Column("item", JSON),
    Column("beside", ARRAY(BigInteger)),
    Column("inserted_at", DateTime(timezone=True), nullable=False),
    Column("updated_at", DateTime(timezone=True), nullable=False),
    Index("workflow_nodes_workflow_id_step_name_index", "workflow_id", "step_name", unique=True),
    Index(
        "workflow_nodes_map_id_item_index_index", "map_id", "item_index", postgresql_where=text("map_id IS NOT NULL")
    ),
    Index("workflow_nodes_root_id_held_index", "root_id", "oban_job_id", postgresql_where=text("held")),
)

suspects: Final = Table(
    "baton_suspects",
    metadata,
    Column("producer", _name, primary_key=True),
    Column("suspected_at", DateTime(timezone=True), nullable=False),
    prefixes=["UNLOGGED"],
)

jobs: Final = Table(
    "oban_jobs",
    MetaData(),  # Oban's: no migration of ours may touch it
    Column("id", BigInteger, primary_key=True),
    Column("state", ENUM(name="oban_job_state", create_type=False)),
    Column("queue", Text),
    Column("worker", Text),
    Column("attempt", Integer),
    Column("max_attempts", Integer),
    Column("errors", JSONB),
    Column("attempted_at", DateTime),
    Column("scheduled_at", DateTime),
)
