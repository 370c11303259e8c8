"""What tests stand on: a database that is lent again is as one that was made anew."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

from baton_dsl.runtime import schema
from tests.conftest import TEMPLATE
from tests.databases import Databases
from tests.dealing import LONG, TESTS, dealt
from tests.integration.modules import steps

DAMAGE = [
    "CREATE TABLE customers (name text)",
    "CREATE SCHEMA jobs",
    "DROP TABLE baton_spans",
    "DROP FUNCTION baton_prune",
    "ALTER TABLE oban_jobs DISABLE TRIGGER ALL; ALTER TABLE oban_jobs ENABLE TRIGGER ALL",
    "ALTER TABLE oban_jobs SET (autovacuum_enabled = off)",
    "ALTER TABLE oban_jobs ENABLE ROW LEVEL SECURITY",
    "ALTER TABLE oban_jobs ADD CONSTRAINT fits CHECK (id > 0)",
    "ALTER TABLE workflow_nodes ALTER result SET STORAGE EXTERNAL",
    "GRANT SELECT ON oban_jobs TO pg_monitor",
    "COMMENT ON FUNCTION baton_stop IS 'mine'",
    "INSERT INTO baton_migrations VALUES (99)",
    "DO $$BEGIN EXECUTE format('ALTER DATABASE %I SET lock_timeout TO 7', current_database()); END$$",
    "DO $$BEGIN EXECUTE format('REVOKE CREATE ON DATABASE %I FROM PUBLIC', current_database()); END$$",
    "INSERT INTO oban_jobs (worker) SELECT repeat('x', 100) FROM generate_series(1, 5000)",
]


@pytest.fixture
def alone(server: str) -> Iterator[Databases]:
    """Databases of which no other test borrows."""
    made = Databases(server, TEMPLATE)
    yield made
    made.close()


def oid(conn: psycopg.Connection[object]) -> object:
    return conn.execute("SELECT oid FROM pg_database WHERE datname = current_database()").fetchone()


def test_a_database_of_which_only_rows_were_changed_is_lent_again_without_them(alone: Databases) -> None:
    seen = []
    for _ in range(3):
        with alone.lent() as dsn, psycopg.connect(dsn, autocommit=True) as conn:
            seen.append((oid(conn), conninfo_to_dict(dsn)["dbname"]))
            assert conn.execute("SELECT count(*) FROM baton_workflows").fetchone() == (0,)
            steps.billing.insert(conn, api_key="k")
            assert conn.execute("SELECT min(id) FROM oban_jobs").fetchone() == (1,)
            assert schema.differences(conn) == []
    assert len({number for number, _ in seen}) == 1
    assert len({name for _, name in seen}) == 3, "who knows a former name finds nothing"


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_database_of_which_more_was_changed_is_not(alone: Databases, damage: str) -> None:
    with alone.lent() as dsn, psycopg.connect(dsn, autocommit=True) as conn:
        before = oid(conn)
        conn.execute(damage.encode())
    with alone.lent() as dsn, psycopg.connect(dsn, autocommit=True) as conn:
        assert oid(conn) != before


def test_each_worker_begins_with_its_share_of_the_long_modules_and_none_gets_a_part_of_one() -> None:
    paths = [*[TESTS / name for name in LONG], *[TESTS / f"unit/test_{number}.py" for number in range(100)]]
    items = [SimpleNamespace(path=path, number=number) for path in sorted(paths) for number in range(30)]
    for workers in (2, 4):
        found = dealt(items, workers)  # type: ignore[arg-type]
        assert sorted(map(id, found)) == sorted(map(id, items))
        size = len(items) // workers
        stretches = [found[number * size : (number + 1) * size] for number in range(workers)]
        parts = [{item.path for item in stretch} & set(paths[: len(LONG)]) for stretch in stretches]
        assert sum(map(len, parts)) == len(LONG)
        taken = [sum(LONG[path.relative_to(TESTS).as_posix()] for path in part) for part in parts]
        assert max(taken) - min(taken) <= max(LONG.values())


def test_the_long_modules_are_there() -> None:
    assert [name for name in LONG if not (TESTS / name).exists()] == []
