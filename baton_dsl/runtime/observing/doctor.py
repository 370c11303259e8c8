"""The doctor: find problems in a database of workflows, and say what to do about them. It changes nothing."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from importlib.metadata import PackageNotFoundError, version
from typing import Final, LiteralString

from baton_dsl.core.diagnostics import quoted
from baton_dsl.core.wording import counted
from baton_dsl.errors import install_remedy
from baton_dsl.runtime.database.snapshot import Reading, Row
from baton_dsl.runtime.observing.checks import AILMENTS
from baton_dsl.runtime.observing.checks import Finding as Finding
from baton_dsl.runtime.observing.fleet import QueueStatus, queues
from baton_dsl.runtime.observing.undeployed import undeployed
from baton_dsl.runtime.observing.volume import Prunable, TableSize, prunable, sizes
from baton_dsl.runtime.sql import pieces
from baton_dsl.runtime.sql.pieces import OLDEST_POSTGRES, VERSION

RETAIN: Final = timedelta(days=30)
"""How long an ended workflow may stay before the doctor advises to prune."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """The doctor's report.

    Attributes:
        about: What was examined, in a line.
        findings: All findings.
        tables: The sizes of our tables, the largest first.
        prunable: What a prune would free, for a few ages.
        waiting: The queues with ready jobs, the one with the oldest job first.
    """

    about: str
    findings: tuple[Finding, ...]
    tables: tuple[TableSize, ...] = ()
    prunable: tuple[Prunable, ...] = ()
    waiting: tuple[QueueStatus, ...] = ()

    @property
    def is_well(self) -> bool:
        """True if nothing is wrong. There may still be advice."""
        return not any(finding.is_wrong for finding in self.findings)


_TABLES: Final = ("oban_jobs", "oban_producers", "oban_leaders", "baton_migrations")

_SERVER: Final[LiteralString] = """
    SELECT current_setting('server_version') AS release,
        current_setting('server_version_num')::integer / 10000 AS major,
        ARRAY(
            SELECT name FROM unnest(%(tables)s::text[]) AS name WHERE to_regclass('baton.' || name) IS NULL
        ) AS missing
"""

_VERSION: Final[LiteralString] = "SELECT max(version) AS version FROM baton.baton_migrations"

_TRIGGERS: Final[LiteralString] = """
    SELECT own.tgname AS name, home.relname AS home
    FROM pg_trigger AS own
    JOIN pg_class AS home ON home.oid = own.tgrelid
    WHERE home.relnamespace = 'baton'::regnamespace AND own.tgname = ANY(%(names)s) AND own.tgenabled <> 'O'
"""

_HIDING: Final[LiteralString] = """
    SELECT relname AS name, row_security_active(oid) AS is_active
    FROM pg_class
    WHERE relnamespace = 'baton'::regnamespace AND relname = ANY(%(names)s) AND relrowsecurity
    ORDER BY relname
"""

# A trigger of the application also fires inside our functions, where it finds only tables that are named with a schema.
_LOOKING: Final[LiteralString] = """
    SELECT own.tgname AS name, home.relname AS home, called.oid::regprocedure::text AS called
    FROM pg_trigger AS own
    JOIN pg_class AS home ON home.oid = own.tgrelid
    JOIN pg_proc AS called ON called.oid = own.tgfoid
    JOIN pg_language AS language ON language.oid = called.prolang
    WHERE home.relnamespace = 'baton'::regnamespace
        AND home.relname = ANY(%(names)s)
        AND NOT own.tgisinternal
        AND language.lanname = 'plpgsql'
        AND NOT EXISTS (SELECT FROM unnest(called.proconfig) AS setting WHERE starts_with(setting, 'search_path='))
    ORDER BY own.tgname
"""

_STATES: Final[LiteralString] = """
    SELECT enumlabel AS state
    FROM pg_enum WHERE enumtypid = to_regtype('baton.oban_job_state')
"""

_UNDER_WAY: Final[LiteralString] = "SELECT count(*) AS workflows FROM baton.baton_workflows WHERE settled_at IS NULL"


def examine(prefix: str, *, retain: timedelta = RETAIN, packages: Collection[str] = ()) -> Reading[Report]:
    """Check everything.

    Args:
        prefix: The schema of Oban's tables.
        retain: How long settled workflows are kept.
        packages: The top-level packages whose steps should be importable here.

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
    states = yield _STATES, {}
    differences = yield pieces.differing(prefix), {}
    disabled = yield _TRIGGERS, {"names": list(pieces.triggers())}
    names = [*_TABLES, *pieces.tables()]
    hiding = yield _HIDING, {"names": names}
    looking = yield _LOOKING, {"names": names}
    wrong = [
        *_of_version(migrated["version"], prefix),
        *_of_states(states, prefix),
        *_of_differences(differences, prefix),
    ]
    findings += _of_triggers(disabled, prefix)
    findings += _of_row_security(hiding, prefix)
    findings += _of_other_triggers(looking, prefix)
    findings += wrong
    if wrong:  # the other queries would fail on such a schema
        return Report(about=_about(server, prefix), findings=tuple(findings))
    for ailment in AILMENTS:
        rows = yield ailment.query, {"retain": retain}
        findings += map(ailment.tell, rows)
    findings += yield from undeployed(packages)
    (counted,) = yield _UNDER_WAY, {}
    tables = yield from sizes()
    old = yield from prunable(retain, tables)
    served = yield from queues()
    return Report(
        about=_about(server, prefix, counted["workflows"]),
        findings=tuple(findings),
        tables=tuple(tables),
        prunable=tuple(old),
        waiting=tuple(sorted(filter(_waits, served), key=_since, reverse=True)),
    )


def _waits(queue: QueueStatus) -> bool:
    return queue.oldest_ready is not None


def _since(queue: QueueStatus) -> timedelta:
    return queue.oldest_ready or timedelta()


def _about(server: Row, prefix: str, under_way: int | None = None) -> str:
    said = f'PostgreSQL {server["release"].split()[0]}, {_oban()}, schema "{prefix}"'
    if under_way is not None:
        said += f" of version {VERSION}, {counted(under_way, 'workflow')} under way"
    return said


def _of_server(server: Row, prefix: str) -> Iterator[Finding]:
    if server["major"] < OLDEST_POSTGRES:
        yield Finding(
            message=f"PostgreSQL {server['major']} is too old: {OLDEST_POSTGRES} or newer is needed",
            help="update the server",
        )
    if server["missing"]:
        yield Finding(
            message=f'the schema "{prefix}" has no tables {quoted(server["missing"])}', help=install_remedy(prefix)
        )


def _oban() -> str:
    """The version of Oban on this machine, which may not be that of the workers."""
    try:
        return f"oban {version('oban')}"
    except PackageNotFoundError:
        return "no oban on this machine"


def _of_version(installed: int | None, prefix: str) -> Iterator[Finding]:
    if (installed or 0) < VERSION:  # a newer schema works with this library too
        yield Finding(
            message=f"the schema is of version {installed}, this library needs {VERSION}", help=install_remedy(prefix)
        )


_SAID: Final[Mapping[tuple[str, bool], str]] = {
    ("function", False): "functions are missing: {}",
    ("function", True): "functions differ from those of this library: {}",
    ("leftover", True): "functions have a name of ours but do not belong to this version: {}",
    ("trigger", False): "triggers are missing: {}; workflows don't notice when their jobs change",
    ("trigger", True): "triggers differ from those of this library: {}",
}


def _of_differences(rows: list[Row], prefix: str) -> Iterator[Finding]:
    for (kind, is_there), said in _SAID.items():
        names = [row["name"] for row in rows if (row["kind"], row["is_there"]) == (kind, is_there)]
        if names:
            yield Finding(message=said.format(quoted(names)), help=install_remedy(prefix))


def _of_triggers(disabled: list[Row], prefix: str) -> Iterator[Finding]:
    for row in disabled:
        yield Finding(
            message=f'the trigger "{row["name"]}" is disabled: workflows don\'t notice when their jobs change',
            help=f"in psql: ALTER TABLE {prefix}.{row['home']} ENABLE TRIGGER {row['name']}",
        )


def _of_row_security(hiding: list[Row], prefix: str) -> Iterator[Finding]:
    """Report row-level security: steps whose rows are hidden from workers would never run."""
    for row in hiding:
        whom = "this role" if row["is_active"] else "roles other than its owner"
        yield Finding(
            message=f'row-level security is on for the table "{row["name"]}": its rows may be hidden from {whom}',
            help=f"in psql: ALTER TABLE {prefix}.{row['name']} DISABLE ROW LEVEL SECURITY",
        )


def _of_other_triggers(looking: list[Row], prefix: str) -> Iterator[Finding]:
    for row in looking:
        yield Finding(
            message=f'the trigger "{row["name"]}" on "{row["home"]}" sets no search_path: when baton-dsl changes '
            "rows, it finds only names that include the schema",
            help=f"in psql: ALTER FUNCTION {row['called']} SET search_path TO {prefix}, pg_temp",
            is_wrong=False,
        )


def _of_states(rows: list[Row], prefix: str) -> Iterator[Finding]:
    if "suspended" not in {row["state"] for row in rows}:
        yield Finding(
            message='Oban\'s tables are too old: they lack the state "suspended"', help=install_remedy(prefix)
        )
