"""What each role can do and what it can't, on the GRANT statements that the documentation shows."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
from alembic.migration import MigrationContext
from alembic.operations import Operations
from oban.schema import install_sql
from psycopg_pool import AsyncConnectionPool
from sqlalchemy import create_engine
from sqlalchemy.pool import NullPool

from baton_dsl import Workflow
from baton_dsl.runtime import schema
from baton_dsl.runtime.database.database import Database
from baton_dsl.runtime.database.snapshot import read_sync
from baton_dsl.runtime.grants import Grants
from baton_dsl.runtime.listing import workflows
from baton_dsl.runtime.observing.doctor import examine
from baton_dsl.runtime.observing.workflow_filter import WorkflowFilter
from baton_dsl.runtime.operating.actions import Action, operate_sync, prune_sync
from baton_dsl.runtime.operating.rerun import rerun_sync
from baton_dsl.runtime.sql import pieces
from tests.conftest import StartOban, sqlalchemy_url
from tests.integration.modules import mapped, steps
from tests.integration.roles import may, role, user_of
from tests.integration.test_schema import describe

PAGE = Path(__file__).parents[2] / "docs/how-to/privileges.md"
TIMEOUT = 60


def granted(what: str) -> str:
    """The statements of a section of the page."""
    section = re.search(rf"^### {what}\n\n```sql\n(.*?)^```", PAGE.read_text("utf-8"), re.MULTILINE | re.DOTALL)
    assert section is not None
    return section[1]


def grant(conn: psycopg.Connection[Any], what: str, dsn: str, prefix: str = "jobs") -> None:
    """Run the statements of a section for a role, in a schema."""
    text = re.sub(rf"\b{what.lower()};", f"{user_of(dsn)};", granted(what))
    conn.execute(re.sub(r"\bjobs\b", prefix, text).encode())


@pytest.fixture
def roles() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


@pytest.fixture
def owner_dsn(empty_dsn: str, roles: ExitStack) -> str:
    """A fresh database for a role that owns it and has no other rights."""
    owner = roles.enter_context(role(empty_dsn, "owner"))
    with psycopg.connect(empty_dsn, autocommit=True) as conn:
        name = conn.info.dbname
        conn.execute(f"ALTER DATABASE {name} OWNER TO {user_of(owner)}")
        conn.execute(f"ALTER SCHEMA public OWNER TO {user_of(owner)}")  # before PostgreSQL 15 it is the superuser's
    return owner


@pytest.fixture
def schema_dsn(empty_dsn: str, roles: ExitStack) -> str:
    """A fresh database, for a role that owns the schema `jobs` of it and can create nothing elsewhere."""
    owner = roles.enter_context(role(empty_dsn, "schema_owner"))
    with psycopg.connect(empty_dsn, autocommit=True) as conn:
        conn.execute(f"REVOKE CREATE, TEMPORARY ON DATABASE {conn.info.dbname} FROM PUBLIC")
        conn.execute("REVOKE CREATE ON SCHEMA public FROM PUBLIC")
        conn.execute(f"CREATE SCHEMA jobs AUTHORIZATION {user_of(owner)}")
    return owner


# --- the installer --------------------------------------------------------------------------------------------------


def test_the_owner_of_a_database_installs_and_installs_again(owner_dsn: str, empty_dsn: str, dsn: str) -> None:
    schema.install(owner_dsn)
    assert describe(empty_dsn) == describe(dsn)
    schema.install(owner_dsn)
    schema.install(owner_dsn, "tenant_1")  # which may create schemas
    with psycopg.connect(owner_dsn) as conn:
        assert schema.differences(conn) == schema.differences(conn, "tenant_1") == []


def test_the_owner_of_a_schema_installs_and_installs_again(schema_dsn: str) -> None:
    assert not may(schema_dsn, "CREATE SCHEMA other")
    schema.install(schema_dsn, "jobs")
    schema.install(schema_dsn, "jobs")
    with psycopg.connect(schema_dsn, autocommit=True) as conn:
        assert schema.differences(conn, "jobs") == []
        conn.execute("DROP TRIGGER baton_job_changed ON jobs.oban_jobs; DROP FUNCTION jobs.baton_prune")
        assert len(schema.differences(conn, "jobs")) == 2
    schema.install(schema_dsn, "jobs")
    with psycopg.connect(schema_dsn) as conn:
        assert schema.differences(conn, "jobs") == []


@pytest.mark.parametrize("which", ["owner_dsn", "schema_dsn"])
def test_an_owner_migrates_up_and_down_with_alembic(which: str, request: pytest.FixtureRequest) -> None:
    dsn = request.getfixturevalue(which)
    prefix = "public" if which == "owner_dsn" else "jobs"
    with create_engine(sqlalchemy_url(dsn), poolclass=NullPool).begin() as conn:
        op = Operations(MigrationContext.configure(conn))
        conn.exec_driver_sql(f"SET search_path TO {prefix}")
        conn.exec_driver_sql(install_sql(prefix))
        schema.upgrade(op, prefix=prefix)
        schema.upgrade(op, prefix=prefix)
    with psycopg.connect(dsn) as plain:
        assert schema.differences(plain, prefix) == []
    with create_engine(sqlalchemy_url(dsn), poolclass=NullPool).begin() as conn:
        schema.downgrade(Operations(MigrationContext.configure(conn)), prefix=prefix)
    with psycopg.connect(dsn) as plain:
        assert plain.execute("SELECT count(*) FROM pg_proc WHERE proname LIKE 'baton%'").fetchone() == (0,)


def test_an_owner_brings_up_what_he_has_restored_from_a_dump(dsn: str, owner_dsn: str, tmp_path: Path) -> None:
    """A dump from a superuser's database, with `--no-owner`."""
    with psycopg.connect(dsn, autocommit=True) as conn:
        workflow = steps.billing.insert(conn, api_key="k")
        (binaries,) = conn.execute("SELECT setting FROM pg_config WHERE name = 'BINDIR'").fetchone() or ("",)
    if not (Path(binaries) / "pg_dump").exists():
        pytest.skip("the server's pg_dump is not on this machine")
    script = tmp_path / "dump.sql"
    subprocess.run([Path(binaries) / "pg_dump", "--no-owner", "--file", script, dsn], check=True)
    done = subprocess.run(
        [Path(binaries) / "psql", "--quiet", "--file", script, owner_dsn], check=True, capture_output=True, text=True
    )
    assert "baton" not in done.stderr
    with psycopg.connect(owner_dsn) as conn:
        assert schema.differences(conn) == []
    schema.install(owner_dsn)
    assert Workflow.load(workflow.id, dsn=owner_dsn).sync.status().counts == {"available": 1, "suspended": 3}
    with psycopg.connect(owner_dsn, autocommit=True) as conn:
        conn.execute("UPDATE oban_jobs SET state = 'cancelled' WHERE state = 'available'")
    assert Workflow.load(workflow.id, dsn=owner_dsn).sync.status().outcome == "cancelled"


# --- the others -----------------------------------------------------------------------------------------------------


@pytest.fixture
def jobs_dsn(empty_dsn: str) -> str:
    schema.install(empty_dsn, "jobs")
    return empty_dsn


def a_role(roles: ExitStack, dsn: str, what: str) -> str:
    """A role with the rights that a section of the page grants."""
    found = roles.enter_context(role(dsn, what.lower()))
    with psycopg.connect(dsn, autocommit=True) as conn:
        grant(conn, what, found)
    return found


TABLES = ("oban_jobs", "oban_producers", "oban_leaders", *pieces.tables())


async def test_a_worker_runs_steps_and_can_not_drop_what_they_stand_in(
    jobs_dsn: str, roles: ExitStack, start_oban: StartOban
) -> None:
    worker = a_role(roles, jobs_dsn, "Worker")
    async with (
        AsyncConnectionPool(worker, open=False) as pool,
        start_oban(name="as a worker", pool=pool, prefix="jobs", queues={"default": 5, "auth": 1}),
    ):
        with psycopg.connect(worker, autocommit=True) as conn:
            plain = steps.billing.options(prefix="jobs").insert(conn, api_key="k")
            fanned = mapped.summing.options(prefix="jobs").insert(conn, count=4)
            conn.execute("SELECT jobs.baton_rescue(), jobs.baton_prune('1 day', 10)")
        assert (await plain.wait(TIMEOUT)).outcome == "completed"
        assert (await fanned.wait(TIMEOUT)).outcome == "completed"
        assert await fanned.result("total") == 14
    for table in TABLES:
        assert not may(worker, f"DROP TABLE jobs.{table}")
        assert not may(worker, f"ALTER TABLE jobs.{table} ADD COLUMN more text")
        assert not may(worker, f"TRUNCATE jobs.{table}")
    assert not may(worker, "CREATE TABLE jobs.mine ()")
    assert not may(worker, "DROP FUNCTION jobs.baton_prune")
    assert not may(worker, "DROP TRIGGER baton_job_changed ON jobs.oban_jobs")
    assert not may(worker, "UPDATE jobs.baton_migrations SET version = 99")


def test_an_inserter_inserts_and_reads_nothing_of_it(jobs_dsn: str, roles: ExitStack) -> None:
    inserter = a_role(roles, jobs_dsn, "Inserter")
    with psycopg.connect(inserter, autocommit=True) as conn:
        for flow, inputs in ((steps.billing, {"api_key": "k"}), (mapped.greeting, {"names": ["a"], "greeting": "hi"})):
            for _ in range(2):
                flow.options(prefix="jobs", debug=True).insert(conn, **inputs)
    with psycopg.connect(jobs_dsn) as conn:
        assert conn.execute(
            "SELECT count(*), count(*) FILTER (WHERE unsettled > 0) FROM jobs.baton_workflows"
        ).fetchone() == (4, 4)
        assert conn.execute("SELECT count(*) FROM jobs.oban_jobs WHERE state = 'available'").fetchone() == (4,)
    for table in TABLES:
        if table != "baton_migrations":
            assert not may(inserter, f"SELECT * FROM jobs.{table}")
        assert not may(inserter, f"DELETE FROM jobs.{table}")
        assert not may(inserter, f"DROP TABLE jobs.{table}")
    assert not may(inserter, "SELECT result FROM jobs.workflow_nodes")
    assert not may(inserter, "SELECT id FROM jobs.oban_jobs")
    assert not may(inserter, "SELECT signatures FROM jobs.baton_flows")
    assert not may(inserter, "UPDATE jobs.oban_jobs SET state = 'cancelled'")
    assert not may(inserter, "SELECT jobs.baton_stop(ARRAY['x'])")


def test_the_maps_of_a_workflow_can_be_begun_by_anybody_once_only(jobs_dsn: str, roles: ExitStack) -> None:
    """The one function that runs with the rights of the owner does nothing that was not done already."""
    inserter = a_role(roles, jobs_dsn, "Inserter")
    with psycopg.connect(jobs_dsn, autocommit=True) as conn:
        held = mapped.summing.options(prefix="jobs").insert(conn, count=2)
        open_ = mapped.greeting.options(prefix="jobs").insert(conn, names=["a", "b"], greeting="hi")
        everything = "SELECT array_agg(node ORDER BY oban_job_id)::text FROM jobs.workflow_nodes AS node"
        before = conn.execute(everything).fetchone()
        with psycopg.connect(inserter, autocommit=True) as other:
            other.execute("SELECT jobs.baton_begin_maps(%s)", [[held.id, open_.id]])
            assert other.execute(
                "SELECT prosecdef FROM pg_proc WHERE proname LIKE 'baton%%' AND prosecdef"
            ).fetchall() == [(True,)]
        assert conn.execute(everything).fetchone() == before


def test_an_operator_operates(jobs_dsn: str, roles: ExitStack) -> None:
    operator = a_role(roles, jobs_dsn, "Operator")
    database = Database.configured(dsn=operator, prefix="jobs")
    with psycopg.connect(jobs_dsn, autocommit=True) as conn:
        ids = [steps.billing.options(prefix="jobs").insert(conn, api_key="k").id for _ in range(2)]
        ids.append(mapped.greeting.options(prefix="jobs").insert(conn, names=["a"], greeting="hi").id)
    every = WorkflowFilter(ids=ids)
    for action in (Action.PAUSE, Action.RESUME, Action.CANCEL, Action.RETRY):
        assert sorted(operate_sync(database, action, every)) == sorted(ids)
    assert operate_sync(database, Action.RETRY, WorkflowFilter(ids=ids[:1]), from_step="regions") == ids[:1]
    assert operate_sync(database, Action.CANCEL, every)
    assert len(rerun_sync(database, WorkflowFilter(ids=ids[:2]), steps.billing)) == 2
    assert read_sync(database, examine("jobs")).is_well is False  # nobody runs the queue
    assert prune_sync(database, timedelta(0)) == 3
    assert not may(operator, "DROP TABLE jobs.workflow_nodes")
    assert not may(operator, "INSERT INTO jobs.oban_producers (uuid, node, queue) VALUES (gen_random_uuid(), 'n', 'q')")
    assert not may(operator, "INSERT INTO jobs.oban_leaders VALUES ('n', 'n', now(), now())")


async def test_a_reader_reads_and_changes_nothing(jobs_dsn: str, roles: ExitStack) -> None:
    reader = a_role(roles, jobs_dsn, "Reader")
    with psycopg.connect(jobs_dsn, autocommit=True) as conn:
        inserted = mapped.summing.options(prefix="jobs").insert(conn, count=2)
    workflow = Workflow.load(inserted.id, dsn=reader, prefix="jobs")
    assert (await workflow.status()).counts == workflow.sync.status().counts == {"available": 1, "suspended": 2}
    assert "numbers" in workflow.sync.why()
    assert len(workflow.sync.nodes()) == 3
    database = Database.configured(dsn=reader, prefix="jobs")
    assert len(read_sync(database, workflows())) == 1
    assert [finding.message for finding in read_sync(database, examine("jobs")).findings] == [
        '1 job could start in queue "default", which no worker runs'
    ]
    for table in TABLES:
        assert not may(reader, f"DELETE FROM jobs.{table}")
        assert not may(reader, f"INSERT INTO jobs.{table} DEFAULT VALUES")
        assert not may(reader, f"DROP TABLE jobs.{table}")
    assert not may(reader, "UPDATE jobs.oban_jobs SET state = 'cancelled'")
    assert not may(reader, "SELECT jobs.baton_stop(ARRAY(SELECT workflow_id FROM jobs.baton_workflows))")
    with pytest.raises(psycopg.errors.InsufficientPrivilege), psycopg.connect(reader) as conn:
        steps.billing.options(prefix="jobs").insert(conn, api_key="k")


@pytest.mark.parametrize("prefix", ["jobs", "public"])
def test_the_options_of_install_write_what_the_page_shows(prefix: str) -> None:
    grants = Grants(worker=("worker",), insert=("inserter",), operate=("operator",), read=("reader",))
    shown = "".join(granted(what) for what in ("Worker", "Inserter", "Operator", "Reader"))
    said = [re.sub(r' TO "(\w+)"$', r" TO \1", statement) for statement in grants.statements(prefix)]
    assert said == re.sub(r"\bjobs\b", prefix, shown).removesuffix(";\n").split(";\n")


def test_a_role_with_a_strange_name_is_granted_to(jobs_dsn: str) -> None:
    (first, *_) = Grants(read=('odd "name"; --',)).statements("jobs")
    assert first == 'GRANT USAGE ON SCHEMA jobs TO "odd ""name""; --"'


def test_row_level_security_that_hides_rows_is_told(jobs_dsn: str, roles: ExitStack) -> None:
    reader = a_role(roles, jobs_dsn, "Reader")
    with psycopg.connect(jobs_dsn, autocommit=True) as conn:
        steps.billing.options(prefix="jobs").insert(conn, api_key="k")
        conn.execute("ALTER TABLE jobs.oban_jobs ENABLE ROW LEVEL SECURITY")
    for dsn, whom in ((reader, "this role"), (jobs_dsn, "roles other than its owner")):
        finding = read_sync(Database.configured(dsn=dsn, prefix="jobs"), examine("jobs")).findings[0]
        assert finding.message == (
            f'row-level security is on for the table "oban_jobs": its rows may be hidden from {whom}'
        )
    with psycopg.connect(jobs_dsn, autocommit=True) as conn:
        conn.execute(finding.help.removeprefix("in psql: ").encode())
    assert "security" not in str(read_sync(Database.configured(dsn=reader, prefix="jobs"), examine("jobs")))
