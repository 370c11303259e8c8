"""The first errors of new users: each is a sentence with help, and has a documented exit code."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
import subprocess
import sys
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path

import click
import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import make_conninfo

from baton_dsl import Workflow
from baton_dsl.cli.main import COMMANDS, cli, run
from baton_dsl.errors import ConnectionStringError
from baton_dsl.runtime import schema
from baton_dsl.runtime.database.dsn import read
from baton_dsl.runtime.executing import process
from tests.cli.conftest import Done
from tests.cli.test_on_a_database import BATON, ROOT, baton, environment
from tests.conftest import TEMPLATE

HELP = "write postgresql://user:password@host:5432/database; in the password, write %40 for @, %2F for / and %25 for %"
UNREADABLE = [
    "postgresql//app:s3cr3t@db/app",
    "app:s3cr3t@db/app",
    "mysql://app:s3cr3t@db/app",
    "postgresql://app:s3c%zzr3t@db/app",
    "postgresql://app:s3c%00r3t@db/app",
    "postgresql://app:x@s3cr3t@db/app",
    "postgresql://app:x/s3cr3t@db/app",
    "postgresql://app:s3cr3t/x@db/app",
    "postgresql://[::1/app?password=s3cr3t",
    "postgresql://app@db/app?pasword=s3cr3t",
    "postgresql://app@db:s3cr3t/app",
    "host=db password=x s3cr3t",
    "host=db password='s3cr3t",
    "host=db pasword=s3cr3t",
    "host=db password=s3cr3t port=s3cr3t",
    "host=db connect_timeout=s3cr3t",
    "postgresql://...",
    "postgresql://app:s3cr3t@db..example.org/app",
    f"host=db,{'x' * 64}.example.org password=s3cr3t",
    "  ",
]
TARGETS = {
    "worker": ["tests.cli.flows"],
    "run": ["tests.cli.flows:shop", "-i", "region=eu"],
    "status": ["w"],
    "show": ["w"],
    "why": ["w"],
    "cancel": ["w"],
    "approve": ["w", "--budget", "8"],
    "debug": ["w", "step"],
    "retry": ["w"],
    "pause": ["w"],
    "resume": ["w"],
    "rerun": ["w", "tests.cli.flows:shop"],
    "prune": ["--older-than", "1d"],
    "check-deploy": ["tests.cli.flows"],
}
"""What a command needs besides a database."""


def with_a_database() -> list[str]:
    context = click.Context(cli)
    commands = {name: cli.get_command(context, name) for name in COMMANDS}
    return [name for name, it in commands.items() if it and any(option.name == "dsn" for option in it.params)]


def clean(done: subprocess.CompletedProcess[str]) -> str:
    """The output of a command, which must contain no part of a password and no traceback."""
    printed = done.stdout + done.stderr
    assert not any(part in printed for part in ("s3c", "r3t", "Traceback"))
    return printed


def test_every_command_with_a_database_is_tried_here() -> None:
    assert set(with_a_database()) == {*TARGETS, "demo", "install", "list", "doctor", "queues", "nodes", "usage", "web"}


@pytest.mark.parametrize("name", with_a_database())
def test_a_connection_string_that_can_not_be_read_is_told_without_it(name: str, in_this_process: Done) -> None:
    done = in_this_process(name, *TARGETS.get(name, []), BATON_DSN="postgresql//app:s3cr3t@db/app")
    assert done.returncode == 2
    assert clean(done).splitlines()[-1] == (
        f"Error: Invalid value for BATON_DSN: the connection string can't be read; {HELP}"
    )


@pytest.mark.parametrize("dsn", UNREADABLE)
def test_nothing_of_a_connection_string_is_told_however_it_is_wrong(
    dsn: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["list", "--dsn", dsn]) == 2
    printed = "".join(capsys.readouterr())
    assert "Invalid value for --dsn: the connection string " in printed
    assert not any(part in printed for part in ("s3c", "r3t"))


@pytest.mark.parametrize(
    ("dsn", "reason"),
    [
        ("postgresql://app:x@s3cr3t@db/app", "its password holds an @ that is not written as %40"),
        ("postgresql://app:x/s3cr3t@db/app", "its password holds a / that is not written as %2F"),
        ("postgresql://app:x@db:s3cr3t/app", "its port is not a number"),
    ],
)
def test_a_connection_string_is_refused_with_a_reason_where_there_is_one(
    dsn: str, reason: str, in_this_process: Done
) -> None:
    done = in_this_process("list", OBAN_DSN=dsn)
    assert f"Invalid value for OBAN_DSN: the connection string can't be read: {reason}; " in clean(done)


CALLS = (
    lambda dsn: Workflow.load("w", dsn=dsn),
    schema.install,
    lambda dsn: asyncio.run(process.serve(dsn, queues={})),
)


@pytest.mark.parametrize("call", CALLS, ids=["load", "install", "serve"])
@pytest.mark.parametrize("dsn", UNREADABLE)
def test_no_traceback_holds_a_password(call: Callable[[str], object], dsn: str) -> None:
    with pytest.raises(ConnectionStringError) as raised:
        call(dsn)
    told = "".join(traceback.format_exception(raised.value))
    assert "BTN421: " in told
    assert not any(part in told for part in ("s3c", "r3t", "During handling"))
    assert raised.value.__context__ is None  # what some loggers tell, shown or not


def test_a_password_of_the_environment_is_in_no_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BATON_DSN", UNREADABLE[0])
    with pytest.raises(ConnectionStringError) as raised:
        Workflow.load("w")
    assert "s3c" not in "".join(traceback.format_exception(raised.value))


def test_a_host_of_the_environment_must_be_a_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGHOST", "db..example.org")
    with pytest.raises(ConnectionStringError, match="the name of its host has an empty part"):
        read("dbname=app")
    assert read("dbname=app hostaddr=127.0.0.1") == "dbname=app hostaddr=127.0.0.1"


def test_no_value_shows_a_password_when_it_is_printed() -> None:
    program = (
        "from baton_dsl.cli.database import Target; from baton_dsl.runtime.database.database import Database; "
        "dsn = 'postgresql://app:s3cr3t@db/app'; "
        "print(Target(dsn=dsn, prefix='public', is_embedded=False), Database.configured(dsn=dsn))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], env=environment(), capture_output=True, text=True, check=True
    )
    assert "Target(prefix='public', is_embedded=False) Database(prefix='public', oban='')" in done.stdout


@pytest.mark.parametrize("driver", ["postgres", "postgresql+psycopg", "postgresql+asyncpg"])
def test_other_spellings_of_a_connection_string_are_understood(driver: str, dsn: str, in_this_process: Done) -> None:
    parts = psycopg.conninfo.conninfo_to_dict(dsn)
    url = f"{driver}://{parts['user']}@/{parts['dbname']}?host={parts['host']}"
    assert in_this_process("list", "--dsn", url).stderr == "There are no workflows.\n"


@pytest.mark.parametrize("processes", ["1", "2"])
def test_a_worker_on_a_database_without_tables_asks_for_install(empty_dsn: str, processes: str) -> None:
    done = baton("worker", "tests.cli.flows", "--processes", processes, BATON_DSN=empty_dsn)
    assert (done.returncode, done.stderr.splitlines()) == (
        4,
        [
            'Error: BTN404: baton-dsl is not installed in the schema "public"',
            "  help: run: baton install --dsn ...; or, if they are in another schema, name it: --prefix, OBAN_PREFIX",
        ],
    )


def test_what_an_install_would_do_is_counted_and_listed_on_demand(
    empty_dsn: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["install", "--check", "--dsn", empty_dsn]) == 1
    short, _ = capsys.readouterr()
    assert len(short.splitlines()) < 8
    functions = len(list(Path(schema.__file__).with_name("sql").joinpath("functions").iterdir()))
    assert f"\n  create {functions} functions\n" in short
    assert f"\n  bring the tables to version {schema.VERSION}\n" in short
    assert run(["install", "--check", "--verbose", "--dsn", empty_dsn]) == 1
    assert "\n  create the function baton_settle\n" in capsys.readouterr().out
    schema.install(empty_dsn)
    assert run(["install", "--check", "--dsn", empty_dsn]) == 0


def test_a_worker_on_oban_s_tables_alone_asks_for_install(dsn: str) -> None:
    with psycopg.connect(dsn) as conn:
        for statement in schema.downgrade_sql():
            conn.execute(statement.encode())
    done = baton("worker", "tests.cli.flows", BATON_DSN=dsn)
    assert (done.returncode, done.stderr.splitlines()[0]) == (
        4,
        'Error: BTN404: baton-dsl is not installed in the schema "public"',
    )


@pytest.mark.parametrize("name", ["worker", "run", "list", "status"])
def test_a_wrong_prefix_is_told_with_the_right_one(name: str, empty_dsn: str, in_this_process: Done) -> None:
    schema.install(empty_dsn, "jobs")
    done = (baton if name == "worker" else in_this_process)(name, *TARGETS.get(name, []), BATON_DSN=empty_dsn)
    assert (done.returncode, done.stderr.splitlines()[-2:]) == (
        4,
        [
            'Error: BTN404: baton-dsl is not installed in the schema "public"',
            '  help: it is installed in "jobs": run with --prefix jobs',
        ],
    )


@pytest.mark.parametrize("name", ["worker", "run", "list", "status"])
def test_the_command_that_installs_names_the_prefix(name: str, empty_dsn: str, in_this_process: Done) -> None:
    done = (baton if name == "worker" else in_this_process)(
        name, *TARGETS.get(name, []), "--prefix", "jobs", BATON_DSN=empty_dsn
    )
    assert done.returncode == 4
    assert done.stderr.splitlines()[-1].startswith("  help: run: baton install --dsn ... --prefix jobs; or, ")


def test_a_worker_on_older_tables_asks_for_install(empty_dsn: str) -> None:
    schema.install(empty_dsn, "jobs")
    with psycopg.connect(empty_dsn) as conn:
        conn.execute("DELETE FROM jobs.baton_migrations")
    done = baton("worker", "tests.cli.flows", "--prefix", "jobs", BATON_DSN=empty_dsn)
    assert (done.returncode, done.stderr.splitlines()) == (
        4,
        [
            f'Error: BTN405: the tables in the schema "jobs" are of version 0, baton-dsl needs {schema.VERSION}',
            "  help: run: baton install --dsn ... --prefix jobs",
        ],
    )


def test_the_doctor_names_the_prefix_where_it_asks_for_install(empty_dsn: str, in_this_process: Done) -> None:
    schema.install(empty_dsn, "jobs")
    with psycopg.connect(empty_dsn) as conn:
        conn.execute("DROP FUNCTION jobs.baton_tell")
    done = in_this_process("doctor", "--prefix", "jobs", BATON_DSN=empty_dsn)
    assert done.returncode == 1
    assert "  help: run: baton install --dsn ... --prefix jobs\n" in done.stdout


@contextlib.contextmanager
def waiting(dsn: str, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """A worker that waits for its database."""
    command = [*BATON, "worker", "tests.cli.flows", *arguments]
    process = subprocess.Popen(
        command, cwd=ROOT, env=environment(BATON_DSN=dsn), stderr=subprocess.PIPE, text=True, bufsize=1
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def told(process: subprocess.Popen[str]) -> str:
    assert process.stderr is not None
    return process.stderr.readline()


@pytest.fixture
def nobody() -> Iterator[int]:
    """A port on which no process listens."""
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        yield reserved.getsockname()[1]


@pytest.fixture
def silent() -> Iterator[socket.socket]:
    """A port on which a process listens that never answers."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        yield listening


@pytest.mark.parametrize("processes", ["1", "2"])
@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGINT])
def test_a_worker_waits_for_its_database_until_it_is_told_to_stop(
    nobody: int, end: signal.Signals, processes: str
) -> None:
    with waiting(f"postgresql://app:s3cr3t@127.0.0.1:{nobody}/app", "--processes", processes) as process:
        line = told(process)
        assert line.startswith("The database can't be reached yet; waiting for it: ")
        assert "onnection refused" in line
        assert "s3cr3t" not in line
        process.send_signal(end)
        assert process.wait(timeout=60) == 0


def test_a_server_that_never_answers_keeps_no_worker_from_its_end(silent: socket.socket) -> None:
    port = silent.getsockname()[1]
    with waiting(f"postgresql://app@127.0.0.1:{port}/app?connect_timeout=600") as process:
        asked, _ = silent.accept()
        process.terminate()
        assert process.wait(timeout=60) == 0
        asked.close()


def test_a_worker_starts_as_soon_as_its_database_is_there(server: str, dsn: str) -> None:
    name = f"{psycopg.conninfo.conninfo_to_dict(dsn)['dbname']}_later"
    with waiting(make_conninfo(server, dbname=name)) as process:
        assert f'database "{name}" does not exist' in told(process)
        with psycopg.connect(server, autocommit=True) as conn:
            create = sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(sql.Identifier(name), sql.Identifier(TEMPLATE))
            conn.execute(create)
            try:
                while "node runs" not in (line := told(process)):
                    assert line
                process.terminate()
                assert process.wait(timeout=60) == 0
            finally:
                conn.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


def test_a_server_that_refuses_the_user_is_not_waited_for(dsn: str) -> None:
    done = baton("worker", "tests.cli.flows", BATON_DSN=make_conninfo(dsn, user="nobody_such"))
    assert done.returncode == 4
    assert done.stderr.startswith("Error: the database can't be reached: ")
    assert 'role "nobody_such" does not exist' in done.stderr


@pytest.mark.parametrize("name", ["list", "install", "run"])
def test_other_commands_do_not_wait(name: str, nobody: int, in_this_process: Done) -> None:
    done = in_this_process(name, *TARGETS.get(name, []), BATON_DSN=f"postgresql://app:s3cr3t@127.0.0.1:{nobody}/app")
    assert done.returncode == 4
    assert clean(done).startswith("Error: the database can't be reached: connection failed")


@pytest.mark.parametrize("name", ["worker", "run"])
@pytest.mark.parametrize("target", ["no_such_module", "tests.cli.flaws"])
def test_a_module_that_is_not_there_is_told_before_a_database_is_needed(
    name: str, target: str, nobody: int, in_this_process: Done
) -> None:
    done = in_this_process(name, target, BATON_DSN=f"postgresql://app@127.0.0.1:{nobody}/app")
    assert done.returncode == 2
    assert f'there is no module "{target}", neither installed nor in ' in done.stderr
