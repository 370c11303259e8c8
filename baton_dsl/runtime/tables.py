"""Our tables, and some columns of Oban's, as SQLAlchemy Core, for your reports and for Alembic's autogenerate.

No other module of baton-dsl imports this one: inserts and handles work without SQLAlchemy.

The tables have no schema: set the prefix with `schema_translate_map={None: prefix}`. The SQL files create the tables,
not this metadata; a test compares the two.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    DateTime,
    Index,
    Integer,
    Interval,
    MetaData,
    Numeric,
    SmallInteger,
    Table,
    Text,
    Uuid,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, ENUM, JSON, JSONB

metadata: Final = MetaData()
"""Holds all our tables: `baton_workflows`, `workflow_nodes`, `baton_usage` and the others."""

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
    Column("traceparent", _name),
    Column("steps", Integer),
    Index("baton_workflows_label_index", "workflow_label", "inserted_at"),
    Index("baton_workflows_settled_at_index", "settled_at"),
    Index("baton_workflows_fingerprint_index", "fingerprint"),
    Index("baton_workflows_inserted_at_index", "inserted_at", "workflow_id"),
    Index("baton_workflows_flow_name_index", "flow_name", "inserted_at"),
    Index("baton_workflows_outcome_index", "outcome", "inserted_at"),
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

spans: Final = Table(
    "baton_spans",
    metadata,
    Column("oban_job_id", BigInteger, primary_key=True, autoincrement=False),
    Column("traceparent", _name, nullable=False),
    prefixes=["UNLOGGED"],
)

usage: Final = Table(
    "baton_usage",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("workflow_id", _name, nullable=False),
    Column("step_name", _name, nullable=False),
    Column("node_name", _name, nullable=False),
    Column("oban_job_id", BigInteger, nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("model", _name),
    Column("provider", _name),
    Column("tier", _name),
    Column("input_tokens", BigInteger, nullable=False),
    Column("cached_tokens", BigInteger, nullable=False),
    Column("cache_write_tokens", BigInteger, nullable=False),
    Column("output_tokens", BigInteger, nullable=False),
    Column("reasoning_tokens", BigInteger, nullable=False),
    Column("latency", Interval),
    Column("cost", Numeric),
    Column("remark", Text),
    Column("recorded_at", DateTime(timezone=True), nullable=False),
    Index("baton_usage_workflow_id_index", "workflow_id"),
    Index("baton_usage_recorded_at_index", "recorded_at"),
)

captures: Final = Table(
    "baton_captures",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("workflow_id", _name, nullable=False),
    Column("step_name", _name, nullable=False),
    Column("node_name", _name, nullable=False),
    Column("oban_job_id", BigInteger, nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("number", Integer, nullable=False),
    Column("model", _name),
    Column("request", JSON, nullable=False),
    Column("response", JSON),
    Column("error", Text),
    Column("captured_at", DateTime(timezone=True), nullable=False),
    Index("baton_captures_workflow_id_step_name_index", "workflow_id", "step_name", "captured_at"),
    Index("baton_captures_captured_at_index", "captured_at"),
)

checkpoints: Final = Table(
    "baton_checkpoints",
    metadata,
    Column("oban_job_id", BigInteger, primary_key=True, autoincrement=False),
    Column("name", _name, primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("result", JSON, nullable=False),
    Column("stored_at", DateTime(timezone=True), nullable=False),
)

budgets: Final = Table(
    "baton_budgets",
    metadata,
    Column("workflow_id", _name, primary_key=True),
    Column("budget", Numeric, nullable=False),
    Column("spent", Numeric, nullable=False),
)

reservations: Final = Table(
    "baton_reservations",
    metadata,
    Column("oban_job_id", BigInteger, primary_key=True, autoincrement=False),
    Column("workflow_id", _name, nullable=False),
    Column("amount", Numeric, nullable=False),
    Column("used", Numeric, nullable=False),
    Column("attempt", SmallInteger),
    Column("called_at", DateTime(timezone=True)),
    Index("baton_reservations_workflow_id_index", "workflow_id"),
)

jobs: Final = Table(
    "oban_jobs",
    MetaData(),  # Oban's table: our migrations must not touch it
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
