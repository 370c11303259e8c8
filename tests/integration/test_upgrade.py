"""An upgrade of the schema: while old code runs, by many at once, and without long locks."""

from __future__ import annotations

import asyncio
import re
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final

import psycopg
import pytest
from click.testing import CliRunner

from baton_dsl import Workflow
from baton_dsl.cli.main import cli
from baton_dsl.errors import SchemaBusyError, ServerTooOldError
from baton_dsl.runtime import indexes, schema
from baton_dsl.runtime.sql import pieces
from tests.conftest import until
from tests.integration.earlier import FIRST, SHOP, Code, code_of
from tests.integration.modules import steps
from tests.integration.roles import role, user_of
from tests.integration.test_at_once import WAITING
from tests.integration.test_schema import describe

_TABLES: Final = "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind = 'r'"
_OF_NO_ROLE: Final = {"baton_suspects"}
"""Tables of version 2, whose upgrade left the rights to whoever installs."""


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("shop")
    (folder / "shop.py").write_text(SHOP)
    return folder


@pytest.fixture(scope="module")
def old(tmp_path_factory: pytest.TempPathFactory, shop: Path) -> Code:
    return Code(code_of(FIRST, tmp_path_factory.mktemp("old")), shop)


@pytest.fixture(scope="module")
def new(shop: Path) -> Code:
    return Code(None, shop)


@pytest.fixture
def old_dsn(empty_dsn: str, old: Code) -> str:
    """A database whose schema is of version 1."""
    old.run("-c", f"from baton_dsl.runtime import schema; schema.install({empty_dsn!r})")
    return empty_dsn


def outcomes(dsn: str, ids: list[str]) -> list[str | None]:
    with psycopg.connect(dsn) as conn:
        rows = conn.execute("SELECT outcome FROM baton_workflows WHERE workflow_id = ANY(%s)", [ids]).fetchall()
    return [outcome for (outcome,) in rows]


async def completed(dsn: str, ids: list[str]) -> None:
    await until(lambda: outcomes(dsn, ids) == ["completed"] * len(ids), timeout=60)


# --- old code, new schema -------------------------------------------------------------------------------------------


async def test_the_code_of_the_version_before_works_on_beside_that_of_today(dsn: str, old: Code, new: Code) -> None:
    assert old.run("-c", "from baton_dsl.runtime import schema; print(schema.VERSION)") == "1\n"
    assert new.run("-c", "from baton_dsl.runtime import schema; print(schema.VERSION)") == f"{schema.VERSION}\n"
    with old.worker(dsn):
        await completed(dsn, old.insert(dsn, 3) + new.insert(dsn, 3))
        with new.worker(dsn):
            await completed(dsn, old.insert(dsn, 3) + new.insert(dsn, 3))
    with new.worker(dsn):
        await completed(dsn, old.insert(dsn, 3) + new.insert(dsn, 3))


async def test_old_workers_work_on_while_the_schema_is_brought_up(old_dsn: str, old: Code, new: Code) -> None:
    with old.worker(old_dsn):
        ids = old.insert(old_dsn, 10)
        schema.install(old_dsn)
        ids += old.insert(old_dsn, 2) + new.insert(old_dsn, 2)
        await completed(old_dsn, ids)
    with psycopg.connect(old_dsn) as conn:
        assert schema.differences(conn) == []


def test_what_is_brought_up_equals_what_is_made_anew(old_dsn: str, dsn: str, old: Code) -> None:
    (identifier, *_) = old.insert(old_dsn, 1)
    schema.install(old_dsn)
    assert describe(old_dsn) == describe(dsn)
    assert Workflow.load(identifier, dsn=old_dsn).sync.status().counts == {"available": 1, "suspended": 2}


def test_whoever_had_rights_before_has_the_same_on_what_an_upgrade_adds(old_dsn: str) -> None:
    with role(old_dsn, "worker") as worker, role(old_dsn, "reader") as reader, psycopg.connect(old_dsn) as conn:
        known = set(conn.execute(_TABLES).fetchall())
        for dsn, rights in ((worker, "SELECT, INSERT, UPDATE, DELETE"), (reader, "SELECT")):
            grant = f"GRANT {rights} ON workflow_nodes, baton_workflows TO {user_of(dsn)}"
            conn.execute(grant.encode())
        conn.commit()
        schema.install(old_dsn)
        added = [name for (name,) in set(conn.execute(_TABLES).fetchall()) - known if name not in _OF_NO_ROLE]
        assert added
        for name in added:
            for right in ("SELECT", "INSERT", "UPDATE", "DELETE"):
                has = "SELECT has_table_privilege(%s, %s, %s), has_table_privilege(%s, %s, %s)"
                values = [user_of(worker), name, right, user_of(reader), name, right]
                assert conn.execute(has, values).fetchone() == (True, right == "SELECT"), (name, right)


def test_the_code_of_today_refuses_the_older_schema_and_says_what_to_do(old_dsn: str, new: Code, shop: Path) -> None:
    script = f"import psycopg, shop\nshop.summing.insert(psycopg.connect({old_dsn!r}), count=1)"
    with pytest.raises(AssertionError, match=r"BTN405: .*of version 1, .* needs \d+; run: baton install --dsn \.\.\."):
        new.run("-c", script)


# --- at once, and without being felt --------------------------------------------------------------------------------


@pytest.mark.parametrize("which", ["empty_dsn", "old_dsn"])
def test_eight_installs_at_once_are_one(which: str, dsn: str, request: pytest.FixtureRequest) -> None:
    target = request.getfixturevalue(which)
    with psycopg.connect(target, autocommit=True) as conn:  # the worst that a database may have been told
        conn.execute(f"ALTER DATABASE {conn.info.dbname} SET default_transaction_isolation TO 'serializable'")
    with ThreadPoolExecutor(8) as pool:
        for done in [pool.submit(schema.install, target) for _ in range(8)]:
            done.result(60)
    assert describe(target) == describe(dsn)


def locks(conn: psycopg.Connection[Any]) -> set[tuple[str, str]]:
    """The table locks of this transaction, except those of plain reads."""
    return set(
        conn.execute("""
            SELECT relation::regclass::text, mode FROM pg_locks JOIN pg_class ON pg_class.oid = relation
            WHERE pid = pg_backend_pid() AND relnamespace = 'public'::regnamespace AND relkind = 'r'
                AND mode <> 'AccessShareLock'
        """).fetchall()
    )


def test_an_install_with_nothing_to_do_locks_nothing(dsn: str, conn: psycopg.Connection[Any]) -> None:
    with conn.transaction():
        schema.install_on(conn)
        assert locks(conn) == set()


def test_an_upgrade_takes_these_locks(old_dsn: str) -> None:
    """Locks on Oban's tables block writes for a moment; a new column also blocks reads of a node."""
    with psycopg.connect(old_dsn) as conn:
        tables = {name for (name,) in conn.execute("SELECT relname FROM pg_class WHERE relkind = 'r'").fetchall()}
        schema.install_on(conn)
        assert {(table, mode) for table, mode in locks(conn) if table in tables} == {
            ("oban_jobs", "ShareRowExclusiveLock"),
            ("oban_producers", "ShareRowExclusiveLock"),
            ("baton_migrations", "RowExclusiveLock"),
            # while the columns of windows are made, and the indexes of the list
            ("workflow_nodes", "AccessExclusiveLock"),
            ("baton_workflows", "ShareLock"),
            ("baton_workflows", "AccessExclusiveLock"),  # for the column of traces, which comes last
        }


async def test_an_install_never_keeps_others_waiting_for_longer_than_a_moment(old_dsn: str) -> None:
    """A long transaction locks a job; the install waits for it, and no other statement waits for the install."""
    installing = threading.Thread(target=schema.install, args=[old_dsn])
    with psycopg.connect(old_dsn) as holder, psycopg.connect(old_dsn, autocommit=True) as other:
        holder.execute("INSERT INTO oban_jobs (worker) VALUES ('held')")
        installing.start()
        await until(
            lambda: other.execute(f"SELECT FROM pg_stat_activity WHERE {WAITING}".encode()).fetchone() is not None
        )
        other.execute("SET statement_timeout = '5s'")
        for _ in range(10):
            other.execute("INSERT INTO oban_jobs (worker) VALUES ('other')")
        assert installing.is_alive()
        holder.commit()
    installing.join(60)
    with psycopg.connect(old_dsn) as conn:
        assert schema.differences(conn) == []


def test_an_install_that_never_has_its_locks_says_so(old_dsn: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(schema, "TRIES", 2)
    with psycopg.connect(old_dsn) as holder:
        holder.execute("INSERT INTO oban_jobs (worker) VALUES ('held')")
        with pytest.raises(SchemaBusyError, match=r'BTN419: the tables in the schema "public" are in use: .*pg_stat_'):
            schema.install(old_dsn)


async def test_whoever_inserts_never_waits_for_the_indexes_of_an_upgrade(old_dsn: str, old: Code) -> None:
    """A snapshot as old as a backup delays the first index; it is built while others write."""
    with psycopg.connect(old_dsn) as holder, psycopg.connect(old_dsn, autocommit=True) as other:
        holder.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        holder.execute("SELECT FROM baton_workflows")
        installing = threading.Thread(target=schema.install, args=[old_dsn])
        installing.start()
        building = "SELECT FROM pg_stat_progress_create_index WHERE phase LIKE 'waiting%'"
        await until(lambda: other.execute(building).fetchone() is not None)
        other.execute("SET statement_timeout = '5s'")
        await asyncio.to_thread(old.insert, old_dsn, 2)
        other.execute("UPDATE baton_workflows SET settled_at = now()")
        assert installing.is_alive()
        holder.commit()
    await asyncio.to_thread(installing.join, 60)
    with psycopg.connect(old_dsn) as conn:
        assert schema.differences(conn) == []
        assert conn.execute("SELECT indexrelid::regclass FROM pg_index WHERE NOT indisvalid").fetchall() == []


def test_an_index_whose_build_was_broken_off_is_built_again(old_dsn: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(indexes, "PATIENCE", "100ms")
    name = "baton_workflows_inserted_at_index"
    with psycopg.connect(old_dsn) as holder:
        holder.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        holder.execute("SELECT FROM baton_workflows")
        with pytest.raises(SchemaBusyError, match=rf'BTN419: the index "{name}" can\'t be built: a transaction'):
            schema.install(old_dsn)
    valid = f"SELECT indisvalid FROM pg_index WHERE indexrelid = '{name}'::regclass"
    with psycopg.connect(old_dsn, autocommit=True) as conn:
        assert conn.execute(valid.encode()).fetchone() == (False,)
        schema.install(old_dsn)
        assert conn.execute(valid.encode()).fetchone() == (True,)
        conn.execute(f"DROP INDEX {name}".encode())  # by somebody who wants to do without it
        schema.install(old_dsn)
        assert conn.execute("SELECT to_regclass(%s)", [name]).fetchone() == (None,)


# --- what there is to do --------------------------------------------------------------------------------------------


def baton(*arguments: str) -> tuple[int, str]:
    done = CliRunner().invoke(cli, ["install", *arguments], standalone_mode=False)
    assert done.exception is None, done.exception
    return done.return_value, done.output


def test_check_says_what_there_is_to_do_and_dry_run_prints_the_sql_of_it(old_dsn: str) -> None:
    code, said = baton("--dsn", old_dsn, "--check")
    assert code == 1
    assert re.search(r"  create \d+ functions\n  replace \d+ functions\n", said)
    assert "  bring the tables to version 3\n" in said
    code, said = baton("--dsn", old_dsn, "--check", "--verbose")
    assert code == 1
    assert "  bring the tables to version 2\n" in said
    assert "  bring the tables to version 3\n" in said
    assert "  replace the function baton_settle\n" in said
    assert "  create the function baton_begin_maps\n" in said
    assert "  replace the trigger baton_job_changed\n" in said
    before = describe(old_dsn)
    code, script = baton("--dsn", old_dsn, "--dry-run")
    assert code == 0
    assert describe(old_dsn) == before
    with psycopg.connect(old_dsn) as conn:
        conn.execute(script.encode())
    assert baton("--dsn", old_dsn, "--check") == (0, "The schema 'public' is up to date: there is nothing to do.\n")
    assert baton("--dsn", old_dsn, "--dry-run") == (0, "")


def test_dry_run_makes_all_from_nothing(empty_dsn: str, dsn: str) -> None:
    code, said = baton("--dsn", empty_dsn, "--check")
    assert code == 1
    assert re.search(r"  create \d+ objects of Oban\n", said)
    assert "  create oban_jobs of Oban\n" in baton("--dsn", empty_dsn, "--check", "--verbose")[1]
    _, script = baton("--dsn", empty_dsn, "--dry-run", "--grant-read", "pg_monitor")
    assert 'GRANT USAGE ON SCHEMA public TO "pg_monitor";\n' in script
    with psycopg.connect(empty_dsn) as conn:
        conn.execute(script.encode())
    assert describe(empty_dsn) == describe(dsn)


def test_a_function_that_somebody_has_changed_is_put_right(dsn: str, conn: psycopg.Connection[Any]) -> None:
    for damage in (
        "ALTER FUNCTION baton_settle RESET search_path",
        "ALTER FUNCTION baton_permits VOLATILE",
        "CREATE OR REPLACE FUNCTION baton_pause(workflow_ids text[]) RETURNS text[] LANGUAGE sql AS 'SELECT $1'",
        "DROP FUNCTION baton_tell; CREATE FUNCTION baton_tell(text[], timestamptz) RETURNS int LANGUAGE sql RETURN 1",
        "CREATE OR REPLACE TRIGGER baton_job_changed AFTER INSERT ON oban_jobs EXECUTE FUNCTION baton_job_changed()",
        "COMMENT ON FUNCTION baton_stop IS 'mine'",
        "CREATE FUNCTION baton_old() RETURNS int LANGUAGE sql RETURN 1; COMMENT ON FUNCTION baton_old IS 'baton-dsl x'",
    ):
        conn.execute(damage.encode())
        assert len(schema.differences(conn)) == 1, damage
        schema.install(dsn)
        assert schema.differences(conn) == []


def test_functions_of_a_newer_library_stay(dsn: str, conn: psycopg.Connection[Any]) -> None:
    conn.execute("INSERT INTO baton_migrations VALUES (99)")
    conn.execute(
        "CREATE OR REPLACE FUNCTION baton_pause(workflow_ids text[]) RETURNS text[] LANGUAGE sql AS 'SELECT $1'"
    )
    assert schema.differences(conn) == []
    schema.install(dsn)
    assert conn.execute("SELECT baton_pause(ARRAY['x'])").fetchone() == (["x"],)
    steps.billing.insert(conn, api_key="k")


def test_an_old_server_is_refused(dsn: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(schema, "OLDEST_POSTGRES", 99)
    with pytest.raises(ServerTooOldError, match=r"BTN418: PostgreSQL \d+ is too old: 99 or newer is needed"):
        schema.install(dsn)
    monkeypatch.setattr(pieces, "OLDEST_POSTGRES", 99)
    with psycopg.connect(dsn) as conn, pytest.raises(psycopg.errors.RaiseException, match="99 or newer is needed"):
        for statement in schema.upgrade_sql():
            conn.execute(statement.encode())
