"""`baton demo`: run the package audit and write its report.

The audit is an example, so its code is not part of the package `baton_dsl`. The wheel carries it in a folder that is
not on Python's path. In a wheel and in a clone alike, it is imported from its folder as `baton_audit`.
"""

from __future__ import annotations

import asyncio
import shutil
import sys
from pathlib import Path
from typing import Any, Final

import click

from baton_dsl.cli import database, execution, picture, queue_limits, terminal
from baton_dsl.cli.exits import Exit, FailedError
from baton_dsl.cli.target import AnyFlow, find_flow

FLOW: Final = "baton_audit:package_audit"
_PACKAGE: Final = Path(__file__).parents[1]


@click.command("demo")
@click.option(
    "--html",
    "page",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Where to write the report as an HTML page; default: .baton/package-audit.html.",
)
@click.option(
    "--imports",
    type=click.IntRange(0),
    default=10,
    show_default=True,
    help="How many packages to import to measure how long that takes.",
)
@database.options
def command(page: Path | None, imports: int, dsn: str | None, prefix: str) -> int:
    """Audit this Python environment with a workflow: licences, sizes, dependencies, import costs.

    Fifteen typed steps, three of which run once for each item of a list; see examples/package_audit in the repository.
    """
    sys.path.insert(0, str(_folder()))
    try:
        flow = find_flow(FLOW)
    except ValueError as error:
        raise FailedError(f"{error}; the demo needs: pip install 'baton-dsl[demo]'") from error
    with database.opened(dsn, prefix) as target:
        report = asyncio.run(_audit(flow, imports, target))
    if report is None:
        return Exit.NOT_COMPLETED
    page = page or database.folder() / "package-audit.html"
    page.write_text(report.html, encoding="utf-8")
    terminal.echo(report.text)
    terminal.echo(f"\nThe report as an HTML page: {page}")
    baton = "baton" if shutil.which("baton") else sys.argv[0]
    given = "" if target.is_embedded else " with the same --dsn"
    terminal.echo(f"See what it ran in a browser: {baton} web{given}")
    return Exit.DONE


async def _audit(flow: AnyFlow, imports: int, target: database.Target) -> Any:
    """The report; None if a step failed."""
    workflow = await execution.insert(flow, {"imports": imports}, target)
    served = queue_limits.limited(queue_limits.of_flow(flow))
    status = await execution.see_through(workflow, target, queues=served, patience=None)
    items = sum(sum(node.items.values()) for node in await workflow.nodes() if node.items)
    terminal.echo(
        f"{len(flow.entries)} steps and {items} items, {status.outcome} in {picture.lasted(status)}\n", err=True
    )
    if status.outcome == "completed":
        return await workflow.result("report")
    terminal.echo(f"see why: baton status {workflow.id}", err=True)
    return None


def _folder() -> Path:
    """The folder of the example: inside the package if it was installed from a wheel, otherwise in the clone."""
    carried = _PACKAGE / "demo"
    return carried if carried.is_dir() else _PACKAGE.parent / "examples" / "package_audit"
