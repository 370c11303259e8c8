"""A role that may create objects in our schema can't make others run its functions and operators."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg_pool import AsyncConnectionPool

from baton_dsl import Flow, Workflow
from baton_dsl.runtime import schema
from baton_dsl.runtime.database.database import Database
from baton_dsl.runtime.database.snapshot import read_sync
from baton_dsl.runtime.observing.doctor import examine
from baton_dsl.runtime.observing.workflow_filter import WorkflowFilter
from baton_dsl.runtime.operating.actions import Action, operate_sync, prune_sync
from baton_dsl.runtime.sql import pieces
from tests.conftest import StartOban
from tests.integration.modules import hooks, mapped, steps
from tests.integration.roles import role, user_of

TIMEOUT = 60

# For every function of PostgreSQL that the bodies of ours name, and with them for every name of ours: one for each of
# these types, and one for each pair of them. An exact one is preferred to a built-in one of type `any` or `anyarray`.
PLANT_FUNCTIONS = """
DO $plant$
DECLARE
    called text;
    arguments text;
BEGIN
    FOR called IN
        SELECT DISTINCT call[1]
        FROM pg_proc AS own
        CROSS JOIN LATERAL regexp_matches(own.prosrc, '\\m([a-z_0-9]+)\\(', 'g') AS call
        WHERE own.pronamespace = 'jobs'::regnamespace
            AND EXISTS (SELECT FROM pg_proc AS known WHERE known.proname = call[1])
    LOOP
        FOR arguments IN
            WITH type(name) AS (VALUES
                ('text'), ('integer'), ('bigint'), ('json'), ('jsonb'), ('text[]'), ('bigint[]'), ('boolean'),
                ('timestamptz'), ('jobs.oban_job_state')
            )
            SELECT '' UNION ALL SELECT name FROM type UNION ALL SELECT one.name || ', ' || other.name
            FROM type AS one CROSS JOIN type AS other
        LOOP
            BEGIN
                EXECUTE 'CREATE FUNCTION jobs.' || called || '(' || arguments || ') RETURNS text LANGUAGE plpgsql AS '
                    || quote_literal('BEGIN RAISE EXCEPTION ''a planted ' || called || ' was run''; END');
            EXCEPTION WHEN duplicate_function THEN NULL; -- one of ours
            END;
        END LOOP;
    END LOOP;
END
$plant$
"""

# An operator on exactly these types is preferred to a built-in one on `anyarray` or `anyenum`.
PLANT_OPERATORS = """
DO $plant$
DECLARE
    one text;
    other text;
    sign text;
    signs text[] := ARRAY['=', '<>', '<', '>', '<=', '>=', '||', '&&', '@>', '->', '->>', '?', '-', '+'];
    types text[] := ARRAY['text', 'integer', 'bigint', 'jsonb', 'text[]', 'bigint[]', 'jobs.oban_job_state', 'name'];
BEGIN
    FOREACH one IN ARRAY types LOOP
        FOREACH other IN ARRAY types LOOP
            EXECUTE 'CREATE FUNCTION jobs.planted(' || one || ', ' || other || ') RETURNS boolean LANGUAGE plpgsql AS '
                || quote_literal('BEGIN RAISE EXCEPTION ''a planted operator was run''; END');
            FOREACH sign IN ARRAY signs LOOP
                EXECUTE 'CREATE OPERATOR jobs.' || sign || ' (FUNCTION = jobs.planted, LEFTARG = ' || one
                    || ', RIGHTARG = ' || other || ')';
            END LOOP;
        END LOOP;
    END LOOP;
END
$plant$
"""


@pytest.fixture
def hostile_dsn(empty_dsn: str) -> Iterator[str]:
    """A database in whose schema `jobs` such a role has created hostile objects."""
    schema.install(empty_dsn, "jobs")
    with role(empty_dsn, "planter") as planter:
        with psycopg.connect(empty_dsn, autocommit=True) as conn:
            conn.execute(f"GRANT USAGE, CREATE ON SCHEMA jobs TO {user_of(planter)}")
            conn.execute(f"GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA jobs TO {user_of(planter)}")
        with psycopg.connect(planter, autocommit=True) as conn:
            conn.execute(PLANT_FUNCTIONS)
            conn.execute(PLANT_OPERATORS)
        yield empty_dsn


def test_what_is_planted_would_be_run(hostile_dsn: str) -> None:
    """For users who have the schema in their search_path, although PostgreSQL's own catalog comes first."""
    with psycopg.connect(hostile_dsn, autocommit=True) as conn:
        conn.execute("SET search_path TO pg_catalog, jobs")
        for expression in (
            "json_build_object('a'::text, 'b'::text)",
            "ARRAY[1::bigint] || 2::bigint",
            "(SELECT array_agg(1::bigint))",
            "'available'::jobs.oban_job_state = 'available'",
            "jobs.baton_spread('{}', '[]')",
        ):
            with pytest.raises(psycopg.errors.RaiseException, match="planted"):
                conn.execute(f"SELECT {expression}".encode())


async def test_nobody_runs_what_somebody_else_has_planted(hostile_dsn: str, start_oban: StartOban) -> None:
    """Insert, run, map, settle, call hooks, cancel, pause, retry, change jobs by hand, prune, and read everything."""
    chain = Flow("chain", on_settled=hooks.settled).add("first", steps.noop).add("second", steps.noop, deps=["first"])
    flows: list[tuple[Flow[..., Any], dict[str, Any]]] = [
        (steps.billing, {"api_key": "k"}),
        (mapped.summing, {"count": 3}),
        (mapped.greeting, {"names": ["a", "b"], "greeting": "hi"}),
        (chain, {}),
    ]
    database = Database.configured(dsn=hostile_dsn, prefix="jobs")

    def insert() -> list[Workflow[Any]]:
        with psycopg.connect(hostile_dsn, autocommit=True) as conn:
            conn.execute("SET search_path TO jobs, public")
            return [flow.options(prefix="jobs").insert(conn, **inputs) for flow, inputs in flows]

    handled = insert()
    every = WorkflowFilter(ids=[workflow.id for workflow in handled])
    for action in (Action.PAUSE, Action.RESUME, Action.CANCEL, Action.RETRY):
        assert len(operate_sync(database, action, every)) == len(flows)
    assert operate_sync(database, Action.RETRY, WorkflowFilter(ids=[handled[3].id]), from_step="first")
    with psycopg.connect(hostile_dsn, autocommit=True) as conn:
        conn.execute("UPDATE jobs.oban_jobs SET state = 'discarded' WHERE state = 'available'")
        conn.execute("UPDATE jobs.oban_jobs SET state = 'available' WHERE state = 'discarded'")
        conn.execute("DELETE FROM jobs.oban_jobs")
    read_sync(database, examine("jobs"))
    async with (
        AsyncConnectionPool(hostile_dsn, open=False) as pool,
        start_oban(name="hostile", pool=pool, prefix="jobs", queues={"default": 5, "auth": 1}) as oban,
    ):
        run = insert()
        for workflow in run:
            assert (await workflow.wait(TIMEOUT)).outcome == "completed"
            workflow.sync.why()
            workflow.sync.nodes()
        assert oban is not None
    assert prune_sync(database, timedelta(0)) == 2 * len(flows)


def test_the_doctor_tells_of_functions_that_are_called_like_ours(hostile_dsn: str) -> None:
    found = [
        finding.message
        for finding in read_sync(Database.configured(dsn=hostile_dsn, prefix="jobs"), examine("jobs")).findings
    ]
    assert any(message.startswith("functions have a name of ours") for message in found)
    schema.install(hostile_dsn, "jobs")
    assert read_sync(Database.configured(dsn=hostile_dsn, prefix="jobs"), examine("jobs")).findings == ()


# --- the files ------------------------------------------------------------------------------------------------------

OURS = [*pieces.functions(), *pieces.tables(), "oban_jobs", "oban_producers", "oban_leaders", "oban_job_state"]
SOURCES = "".join(file.read_text("utf-8") for file in (Path(__file__).parents[2] / "baton_dsl").rglob("*.py"))
BARE = re.compile(rf"(?<![.\w'])({'|'.join(OURS)})\b(?!\.)")


@pytest.mark.parametrize("name", pieces.functions())
def test_a_function_names_the_schema_of_what_is_ours(name: str) -> None:
    text = re.sub(r"--.*", "", pieces.text_of("functions", name))
    assert BARE.findall(text) == []


def test_every_function_that_is_called_from_outside_looks_in_the_catalog_alone(
    dsn: str, conn: psycopg.Connection[Any]
) -> None:
    rows = conn.execute("""
        SELECT proname, array_to_string(proconfig, ';')
        FROM pg_proc WHERE pronamespace = 'public'::regnamespace AND starts_with(proname, 'baton_')
    """).fetchall()
    bare = {name for name, settings in rows if "search_path=pg_catalog, pg_temp" not in (settings or "")}
    called = {name for name in pieces.functions() if re.search(rf'"{name}"|\bbaton\.{name}\(', SOURCES)}
    assert {"baton_settle", "baton_stop"} < called
    # The first names the catalog itself; the others are called where a snapshot looks nowhere else.
    assert bare & called == {"baton_producer_key", "baton_behind", "baton_room", "baton_waits"}
