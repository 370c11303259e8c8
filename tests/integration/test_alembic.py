"""Alembic's command, in this process, in a small application whose migrations are those of the documentation."""

from __future__ import annotations

import contextlib
import io
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import alembic.config
import psycopg
import pytest

from baton_dsl.runtime import schema
from baton_dsl.runtime.sql.autogenerate import TABLES
from tests.conftest import sqlalchemy_url
from tests.docs.test_code_blocks import ROOT, blocks_of

MODELS = """
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column


class Base(DeclarativeBase): ...


class Customer(Base):
    __tablename__ = "customers"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(index=True)
"""
OBJECT, NAME = "include_object=schema.include_object()", "include_name=schema.include_name()"


@pytest.fixture(autouse=True)
def path() -> Iterator[None]:
    """Alembic puts the folder of each application on the path, and imports its models from there."""
    before = list(sys.path)
    yield
    sys.path[:] = before
    sys.modules.pop("models", None)


def documented(file: str) -> str:
    """A file as `how-to/migrate.md` has it."""
    blocks = blocks_of(ROOT / "docs" / "how-to" / "migrate.md")
    (found,) = (block.text for block in blocks if block.text.startswith(f"# {file}\n"))
    return found


@dataclass(frozen=True)
class Application:
    folder: Path

    def alembic(self, *arguments: str) -> tuple[bool, str]:
        """Run a command: whether it succeeded, and what it printed."""
        printed = io.StringIO()
        with contextlib.chdir(self.folder), contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
            sys.modules.pop("models", None)
            try:
                alembic.config.main(argv=list(arguments))
            except SystemExit as end:
                return not end.code, printed.getvalue()
        return True, printed.getvalue()

    def done(self, *arguments: str) -> str:
        succeeded, printed = self.alembic(*arguments)
        assert succeeded, printed
        return printed

    def generated(self) -> list[str]:
        """The operations of the migration that autogenerate writes, in both directions."""
        before = set(self.folder.glob("migrations/versions/*.py"))
        self.done("revision", "--autogenerate", "-m", "generated")
        (file,) = set(self.folder.glob("migrations/versions/*.py")) - before
        return re.findall(r"^    op\.(\w+\([^,)]*)", file.read_text(), re.MULTILINE)

    def write(self, file: str, text: str) -> None:
        path = self.folder / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def application(
    folder: Path, dsn: str, *, prefix: str = "public", hook: str = OBJECT, models: str = MODELS
) -> Application:
    made = Application(folder)
    url = sqlalchemy_url(dsn).render_as_string(hide_password=False).replace("%", "%%")
    made.write(
        "alembic.ini",
        f"[alembic]\nscript_location = migrations\nprepend_sys_path = .\nsqlalchemy.url = {url}\npath_separator = os\n",
    )
    made.write("models.py", models)
    env = documented("migrations/env.py")
    assert OBJECT in env
    made.write("migrations/env.py", env.replace(OBJECT, hook))
    template = Path(alembic.__file__).parent / "templates" / "generic" / "script.py.mako"
    made.write("migrations/script.py.mako", template.read_text())
    first = documented("versions/0001_workflows.py")
    if prefix != "public":
        first = first.replace("_sql()", f'_sql("{prefix}")').replace("(op)", f'(op, prefix="{prefix}")')
        first = first.replace(
            "upgrade() -> None:\n", f'upgrade() -> None:\n    op.execute("CREATE SCHEMA {prefix}")\n', 1
        )
    made.write("migrations/versions/0001_workflows.py", f'revision = "0001"\ndown_revision = None\n{first}')
    return made


def test_the_filters_know_all_tables_that_migrations_create(dsn: str) -> None:
    with psycopg.connect(dsn) as conn:
        made = conn.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'").fetchall()
    assert {name for (name,) in made} == TABLES


@pytest.mark.parametrize(
    ("prefix", "hook"),
    [
        ("public", OBJECT),
        ("public", NAME),
        ("jobs", OBJECT),
        ("jobs", 'include_name=schema.include_name(prefix="jobs")'),
    ],
)
def test_autogenerate_sees_nothing_but_the_application(prefix: str, hook: str, empty_dsn: str, tmp_path: Path) -> None:
    app = application(tmp_path, empty_dsn, prefix=prefix, hook=hook)
    app.done("upgrade", "head")
    assert app.generated() == [
        "create_table('customers'", "create_index(op.f('ix_customers_name'", "drop_index(op.f('ix_customers_name'",
        "drop_table('customers'",
    ]  # fmt: skip
    app.done("upgrade", "head")
    app.done("check")
    assert app.generated() == []


def test_without_a_filter_it_would_drop_everything(empty_dsn: str, tmp_path: Path) -> None:
    app = application(tmp_path, empty_dsn, hook="compare_type=False")
    app.done("upgrade", "head")
    dropped = {it.partition("'")[2].rstrip("'") for it in app.generated() if it.startswith("drop_table")}
    assert dropped >= TABLES
    assert not app.alembic("check")[0]


def test_a_filter_asks_that_of_the_application_about_everything_else(empty_dsn: str, tmp_path: Path) -> None:
    mine = "lambda item, name, kind, *rest: not (kind == 'table' and name == 'legacy')"
    app = application(tmp_path, empty_dsn, hook=f"include_object=schema.include_object({mine})")
    with psycopg.connect(empty_dsn) as conn:
        conn.execute("CREATE TABLE legacy (id int)")
        conn.execute("CREATE TABLE forgotten (id int)")
    app.done("upgrade", "head")
    assert [it for it in app.generated() if it.startswith("drop_table")] == [
        "drop_table('forgotten'",
        "drop_table('customers'",
    ]


def test_a_filter_with_a_prefix_leaves_alone_only_that_schema(empty_dsn: str, tmp_path: Path) -> None:
    app = application(tmp_path, empty_dsn, prefix="jobs", hook='include_object=schema.include_object(prefix="jobs")')
    with psycopg.connect(empty_dsn) as conn:
        conn.execute("CREATE TABLE workflow_nodes (id int)")
    app.done("upgrade", "head")
    assert "drop_table('workflow_nodes'" in app.generated()


def test_our_tables_may_be_part_of_the_metadata(empty_dsn: str, tmp_path: Path) -> None:
    models = MODELS + (
        "\nfrom baton_dsl.runtime import tables\n"
        "for table in tables.metadata.sorted_tables:\n    table.to_metadata(Base.metadata)\n"
    )
    app = application(tmp_path, empty_dsn, models=models)
    app.done("upgrade", "head")
    assert not any(name in operation for operation in app.generated() for name in TABLES)


def test_a_second_migration_is_written_as_documented(empty_dsn: str, tmp_path: Path) -> None:
    app = application(tmp_path, empty_dsn)
    app.done("upgrade", "head")
    second = documented("versions/0002_workflows.py")
    app.write("migrations/versions/0002_workflows.py", f'revision = "0002"\ndown_revision = "0001"\n{second}')
    with psycopg.connect(empty_dsn, autocommit=True) as conn:
        # as an older version of the library would have left it
        conn.execute("DROP FUNCTION baton_tell")
        app.done("upgrade", "head")
        assert conn.execute("SELECT to_regproc('baton_tell') IS NOT NULL").fetchone() == (True,)
        assert conn.execute("SELECT max(version) FROM baton_migrations").fetchone() == (schema.VERSION,)
        app.done("downgrade", "0001")
        assert conn.execute("SELECT max(version) FROM baton_migrations").fetchone() == (schema.VERSION,)
        app.done("downgrade", "base")
        left = conn.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'").fetchall()
        assert left == [("alembic_version",)]


def test_the_migrations_print_a_script(empty_dsn: str, tmp_path: Path) -> None:
    app = application(tmp_path, empty_dsn)
    app.write(
        "migrations/env.py",
        "from alembic import context\n"
        "context.configure(url=context.config.get_main_option('sqlalchemy.url'), literal_binds=True)\n"
        "with context.begin_transaction():\n    context.run_migrations()\n",
    )
    printed = app.done("upgrade", "head", "--sql")
    with psycopg.connect(empty_dsn) as conn:
        conn.execute(printed.encode())
        assert conn.execute("SELECT max(version) FROM baton_migrations").fetchone() == (schema.VERSION,)
