"""What is wrong with a database of workflows, and what to do about it: reads only, changes nothing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Final, LiteralString

from baton_dsl.core.diagnostics import quoted
from baton_dsl.runtime import schema
from baton_dsl.runtime.ailments import AILMENTS
from baton_dsl.runtime.ailments import Finding as Finding
from baton_dsl.runtime.reading import Reading, Row

OLDEST_POSTGRES: Final = 14
RETAIN: Final = timedelta(days=30)
"""How long a settled workflow may stay before the doctor advises to prune."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What the doctor says.

    Attributes:
        about: What was examined, in a line.
        findings: All that was found.
    """

    about: str
    findings: tuple[Finding, ...]

    @property
    def is_well(self) -> bool:
        """True if nothing is wrong; there may be advice."""
        return not any(finding.is_wrong for finding in self.findings)


_TABLES: Final = ("oban_jobs", "oban_producers", "oban_leaders", "baton_migrations")

_SERVER: Final[LiteralString] = """
    SELECT current_setting('server_version') AS release,
        current_setting('server_version_num')::integer / 10000 AS major,
        ARRAY(SELECT name FROM unnest(%(tables)s::text[]) AS name WHERE to_regclass(name) IS NULL) AS missing
"""

_VERSION: Final[LiteralString] = "SELECT max(version) AS version FROM baton_migrations"

_FUNCTIONS: Final[LiteralString] = """
    SELECT proname AS name, prosrc AS body
    FROM pg_proc WHERE pronamespace = current_schema()::regnamespace AND starts_with(proname, 'baton_')
"""

_TRIGGERS: Final[LiteralString] = """
    SELECT own.tgname AS name, own.tgenabled = 'O' AS is_enabled
    FROM pg_trigger AS own
    JOIN pg_class AS home ON home.oid = own.tgrelid
    WHERE home.relnamespace = current_schema()::regnamespace AND NOT own.tgisinternal
"""

_STATES: Final[LiteralString] = """
    SELECT enumlabel AS state
    FROM pg_enum WHERE enumtypid = to_regtype('oban_job_state')
"""

_UNDER_WAY: Final[LiteralString] = "SELECT count(*) AS workflows FROM baton_workflows WHERE settled_at IS NULL"

_INSTALL: Final = "run: baton install --dsn ..."


def examine(prefix: str, *, retain: timedelta = RETAIN) -> Reading[Report]:
    """Look at everything.

    Args:
        prefix: The schema of Oban's tables.
        retain: How long settled workflows are kept.

    Example:
        ```python
        report = await read(database, examine(database.prefix))
        ```
    """
    (server,) = yield _SERVER, {"tables": list(_TABLES)}
    findings = list(_of_server(server, prefix))
    if server["missing"]:
        return Report(about=_about(server, prefix), findings=tuple(findings))
    (migrated,) = yield _VERSION, {}
    functions = yield _FUNCTIONS, {}
    triggers = yield _TRIGGERS, {}
    states = yield _STATES, {}
    wrong = [*_of_version(migrated["version"]), *_of_states(states)]
    if (migrated["version"] or 0) <= schema.VERSION:  # a newer library knows better what its functions are
        wrong += _of_parts(functions, triggers, prefix)
    findings += wrong
    if any(finding.help == _INSTALL for finding in wrong):  # what could be asked now would not be understood
        return Report(about=_about(server, prefix), findings=tuple(findings))
    for ailment in AILMENTS:
        rows = yield ailment.query, {"retain": retain}
        findings += map(ailment.tell, rows)
    (counted,) = yield _UNDER_WAY, {}
    return Report(about=_about(server, prefix, counted["workflows"]), findings=tuple(findings))


def _about(server: Row, prefix: str, under_way: int | None = None) -> str:
    said = f'PostgreSQL {server["release"].split()[0]}, {_oban()}, schema "{prefix}"'
    if under_way is not None:
        said += f" of version {schema.VERSION}, {under_way:,} workflow{'' if under_way == 1 else 's'} under way"
    return said


def _of_server(server: Row, prefix: str) -> Iterator[Finding]:
    if server["major"] < OLDEST_POSTGRES:
        yield Finding(
            message=f"PostgreSQL {server['major']} is too old: {OLDEST_POSTGRES} or newer is needed",
            help="update the server",
        )
    if server["missing"]:
        yield Finding(message=f'the schema "{prefix}" has no tables {quoted(server["missing"])}', help=_INSTALL)


def _oban() -> str:
    """The version of Oban: that of this machine, which may be one without workers."""
    try:
        return f"oban {version('oban')}"
    except PackageNotFoundError:
        return "no oban on this machine"


def _of_version(installed: int | None) -> Iterator[Finding]:
    if (installed or 0) < schema.VERSION:  # a newer one serves this library too
        yield Finding(
            message=f"the schema is of version {installed}, this library needs {schema.VERSION}", help=_INSTALL
        )


def _of_parts(functions: list[Row], triggers: list[Row], prefix: str) -> Iterator[Finding]:
    parts = schema.parts(prefix)
    bodies: dict[str, set[str]] = {}
    for row in functions:
        bodies.setdefault(row["name"], set()).add(row["body"])
    enabled: Mapping[str, Any] = {row["name"]: row["is_enabled"] for row in triggers}
    missing = [name for name in parts.functions if name not in bodies]
    if missing:
        yield Finding(message=f"functions are missing: {quoted(missing)}", help=_INSTALL)
    others = [name for name, body in parts.functions.items() if name in bodies and body not in bodies[name]]
    if others:
        yield Finding(message=f"functions are not those of this library: {quoted(others)}", help=_INSTALL)
    untriggered = [name for name in parts.triggers if name not in enabled]
    if untriggered:
        yield Finding(
            message=f"triggers are missing: {quoted(untriggered)}; workflows don't see what becomes of their jobs",
            help=_INSTALL,
        )
    for name, table in parts.triggers.items():
        if enabled.get(name) is False:
            yield Finding(
                message=f'the trigger "{name}" is disabled: workflows don\'t see what becomes of their jobs',
                help=f"in psql: ALTER TABLE {prefix}.{table} ENABLE TRIGGER {name}",
            )


def _of_states(rows: list[Row]) -> Iterator[Finding]:
    if "suspended" not in {row["state"] for row in rows}:
        yield Finding(message='the tables of Oban are older than its state "suspended"', help=_INSTALL)
