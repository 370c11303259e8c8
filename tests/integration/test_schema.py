"""The schema is created once; installing it again changes nothing: with Alembic, any prefix, any version."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import psycopg
import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.operations import Operations
from oban.schema import install_sql
from sqlalchemy import Connection, create_engine
from sqlalchemy.pool import NullPool

from baton_dsl.errors import PrefixError
from baton_dsl.runtime import schema, tables
from baton_dsl.runtime.sql import pieces
from tests.conftest import sqlalchemy_url
from tests.integration.modules import steps

DESCRIBE = {
    "columns": """
        SELECT table_name, column_name, data_type, is_nullable, column_default, collation_name
        FROM information_schema.columns WHERE table_schema = %s ORDER BY 1, 2
    """,
    "indexes": "SELECT tablename, indexname, replace(indexdef, schemaname || '.', '') FROM pg_indexes "
    "WHERE schemaname = %s ORDER BY 1, 2",
    "functions": "SELECT proname, prosrc, pg_get_function_identity_arguments(oid) FROM pg_proc "
    "WHERE pronamespace = %s::regnamespace AND proname LIKE 'baton%%' ORDER BY 1, 3",
    "triggers": "SELECT tgname, regexp_replace(pg_get_triggerdef(t.oid), '\\w+\\.', '', 'g') FROM pg_trigger t "
    "JOIN pg_class c ON c.oid = tgrelid WHERE c.relnamespace = %s::regnamespace AND NOT tgisinternal ORDER BY 1",
    "constraints": "SELECT conname, pg_get_constraintdef(oid) FROM pg_constraint "
    "WHERE connamespace = %s::regnamespace ORDER BY 1, 2",
}


def describe(dsn: str, prefix: str = "public") -> dict[str, list[Any]]:
    """All that makes up a schema."""
    with psycopg.connect(dsn) as conn:
        return {what: conn.execute(query, [prefix]).fetchall() for what, query in DESCRIBE.items()}


def with_alembic(dsn: str, work: Callable[[Operations, Connection], None]) -> None:
    with create_engine(sqlalchemy_url(dsn), poolclass=NullPool).begin() as conn:
        work(Operations(MigrationContext.configure(conn)), conn)


def test_installing_again_changes_nothing(empty_dsn: str) -> None:
    schema.install(empty_dsn)
    before = describe(empty_dsn)
    schema.install(empty_dsn)
    assert describe(empty_dsn) == before
    assert {name for name, *_ in before["triggers"]} == {
        "baton_job_changed",
        "baton_producers_changed",
        "baton_job_deleted",
    }


def test_installing_keeps_what_is_there(empty_dsn: str) -> None:
    schema.install(empty_dsn)
    with psycopg.connect(empty_dsn, autocommit=True) as conn:
        workflow = steps.billing.insert(conn, api_key="k")
    schema.install(empty_dsn)
    assert workflow.sync.status().counts == {"available": 1, "suspended": 3}


def test_every_prefix_gets_the_same_schema(empty_dsn: str) -> None:
    schema.install(empty_dsn)
    schema.install(empty_dsn, "tenant_1")
    here, there = describe(empty_dsn), describe(empty_dsn, "tenant_1")
    assert there["triggers"] == here["triggers"]
    assert there["functions"] == [
        (name, body.replace("public.", "tenant_1."), *_) for name, body, *_ in here["functions"]
    ]
    assert [row[:4] for row in there["columns"]] == [row[:4] for row in here["columns"]]


def test_two_prefixes_do_not_see_each_other(empty_dsn: str) -> None:
    schema.install(empty_dsn)
    schema.install(empty_dsn, "tenant_1")
    with psycopg.connect(empty_dsn, autocommit=True) as conn:
        steps.billing.options(prefix="tenant_1").insert(conn, api_key="k")
        conn.execute("UPDATE tenant_1.oban_jobs SET state = 'cancelled' WHERE state = 'available'")
        assert conn.execute("SELECT count(*) FROM public.workflow_nodes").fetchone() == (0,)
        assert conn.execute("SELECT outcome FROM tenant_1.baton_workflows").fetchone() == ("cancelled",)


@pytest.mark.parametrize("prefix", ["public", "tenant_1"])
def test_alembic_makes_the_same_schema_and_takes_it_back(empty_dsn: str, dsn: str, prefix: str) -> None:
    with psycopg.connect(empty_dsn, autocommit=True) as conn:
        conn.execute(f"CREATE SCHEMA IF NOT EXISTS {prefix}")
        conn.execute(f"SET search_path TO {prefix}")
        conn.execute(install_sql(prefix))
    bare = describe(empty_dsn, prefix)
    paths: list[Any] = []

    def up(op: Operations, conn: Connection) -> None:
        paths.append(conn.exec_driver_sql("SHOW search_path").scalar())
        schema.upgrade(op, prefix=prefix)
        schema.upgrade(op, prefix=prefix)
        paths.append(conn.exec_driver_sql("SHOW search_path").scalar())

    with_alembic(empty_dsn, up)
    assert paths[0] == paths[1]
    made = describe(empty_dsn, prefix)
    if prefix == "public":
        assert made == describe(dsn)
    else:
        assert [name for name, *_ in made["functions"]] == [name for name, *_ in describe(dsn)["functions"]]
    with_alembic(empty_dsn, lambda op, _: schema.downgrade(op, prefix=prefix))
    assert describe(empty_dsn, prefix) == bare


def test_alembic_offline_prints_a_script_that_psql_can_run(empty_dsn: str, dsn: str) -> None:
    script = io.StringIO()
    context = MigrationContext.configure(
        dialect_name="postgresql", opts={"as_sql": True, "output_buffer": script, "literal_binds": True}
    )
    schema.upgrade(Operations(context))
    with psycopg.connect(empty_dsn) as conn:
        conn.execute(install_sql("public"))
        conn.execute(script.getvalue())
    assert describe(empty_dsn) == describe(dsn)


def test_the_tables_of_sqlalchemy_are_those_of_the_migrations(dsn: str) -> None:
    def compare(_: Operations, conn: Connection) -> None:
        context = MigrationContext.configure(conn, opts={"compare_type": True})
        wrong = [
            difference
            for difference in compare_metadata(context, tables.metadata)
            if not (difference[0] == "remove_table" and difference[1].name.startswith("oban_"))
            and not (difference[0] == "remove_index" and difference[1].table.name.startswith("oban_"))
        ]
        assert wrong == [], "write down in runtime/tables.py what runtime/sql/tables makes"

    with_alembic(dsn, compare)


def test_a_schema_of_every_earlier_version_can_be_brought_up(empty_dsn: str, dsn: str) -> None:
    fresh = describe(dsn)
    for since in range(1, schema.VERSION):
        with psycopg.connect(empty_dsn) as conn:
            conn.execute(install_sql("public"))
            for statement in schema.upgrade_sql(until=since):
                conn.execute(statement)
            for statement in schema.upgrade_sql():
                conn.execute(statement)
        assert describe(empty_dsn) == fresh


@pytest.mark.parametrize("prefix", ["Mixed", "with space", "select", 'x"y', "x" * 64])
def test_a_prefix_that_oban_can_not_use_is_refused_before_anything_is_made(empty_dsn: str, prefix: str) -> None:
    with pytest.raises(PrefixError, match="BTN410"):
        schema.install(empty_dsn, prefix)
    with psycopg.connect(empty_dsn) as conn:
        assert conn.execute("SELECT count(*) FROM pg_namespace WHERE nspname = %s", [prefix]).fetchone() == (0,)


@pytest.mark.parametrize("name", pieces.functions())
def test_a_function_is_a_page(name: str) -> None:
    text = pieces.text_of("functions", name)
    assert text.startswith("-- ")
    assert text.count("\n") <= 95
