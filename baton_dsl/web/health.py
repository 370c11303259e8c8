"""The Health page, which shows the doctor's findings, waiting jobs, table sizes, and what a prune would free."""

from __future__ import annotations

import asyncio
import importlib
from collections.abc import Sequence
from typing import Final

from starlette.responses import Response

from baton_dsl.runtime.database.database import Database
from baton_dsl.runtime.database.pooling import Route, route_of
from baton_dsl.runtime.database.snapshot import Row
from baton_dsl.runtime.observing.checks import Finding, age_in_words, age_option
from baton_dsl.runtime.observing.doctor import examine
from baton_dsl.runtime.observing.fleet import MOST_COUNTED
from baton_dsl.runtime.observing.undeployed import missing, needed
from baton_dsl.runtime.observing.volume import telling
from baton_dsl.web.rendering import render
from baton_dsl.web.visit import Visit

MOST_QUEUES: Final = 20
"""The number of queues shown; those with the longest wait come first."""
MOST_TABLES: Final = 5
"""The number of tables shown; the largest come first."""


async def answer(visit: Visit) -> Response:
    """The page."""
    database = visit.database
    assert database is not None, "access is checked before any page reads"
    report = await visit.read(examine(database.prefix))
    findings = list(report.findings)
    if visit.packages and report.tables:  # without tables nothing is known of any workflow
        workers = await visit.read(needed(visit.packages))
        findings += await asyncio.to_thread(_undeployed, visit.packages, workers)
    return render(
        visit,
        "health.html",
        report=report,
        findings=sorted(findings, key=lambda finding: not finding.is_wrong),
        is_well=not any(finding.is_wrong for finding in findings),
        connection=await _connection(database),
        packages=visit.packages,
        most=MOST_COUNTED,
        most_queues=MOST_QUEUES,
        most_tables=MOST_TABLES,
        size_of_tables=sum(table.size for table in report.tables),
        freed=[(age_in_words(each.older_than), age_option(each.older_than), each) for each in telling(report.prunable)],
        youngest=age_in_words(report.prunable[-1].older_than) if report.prunable else "",
    )


def _undeployed(packages: Sequence[str], workers: Sequence[Row]) -> list[Finding]:
    for package in packages:
        importlib.import_module(package)
    return missing(workers)


async def _connection(database: Database) -> Route | None:
    """The route from this process to the server; None if only the application's own pool can connect."""
    if database.conninfo is None:
        return None
    return await asyncio.to_thread(route_of, database.sync_connection)
