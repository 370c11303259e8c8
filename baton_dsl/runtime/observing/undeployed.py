"""Find steps of running workflows that the code of this process lacks, so that its worker would give them back."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import Final, LiteralString

from baton_dsl.core.diagnostics import quoted
from baton_dsl.errors import StepNotFoundError
from baton_dsl.runtime.database.snapshot import Reading, Row
from baton_dsl.runtime.observing.checks import Finding
from baton_dsl.runtime.values.names import WORKERS, load_step

_WORKERS: Final[LiteralString] = """
    SELECT node.worker, array_agg(DISTINCT workflow.flow_name ORDER BY workflow.flow_name) AS flows,
        count(DISTINCT workflow_id) AS workflows
    FROM baton.baton_workflows AS workflow
    JOIN baton.workflow_nodes AS node USING (workflow_id)
    WHERE workflow.settled_at IS NULL
        AND node.outcome IS NULL
        AND split_part(split_part(node.worker, ':', 1), '/', 1) = ANY(%(packages)s)
    GROUP BY node.worker
    ORDER BY node.worker
"""


def undeployed(packages: Collection[str]) -> Reading[list[Finding]]:
    """A finding for each step that running workflows still need but that can't be imported here.

    Args:
        packages: The top-level packages of this code. Steps in other packages belong to other applications.
    """
    rows = yield from needed(packages)
    return missing(rows)


def needed(packages: Collection[str]) -> Reading[list[Row]]:
    """The functions of these packages that running workflows still need; `missing` checks them."""
    rows = yield _WORKERS, {"packages": [f"{WORKERS}{package}" for package in packages]}
    return rows


def missing(rows: Sequence[Row]) -> list[Finding]:
    """Import these functions, which may take a moment, and return a finding for each that can't be imported."""
    return [finding for row in rows for finding in _of(row)]


def _of(row: Row) -> Iterator[Finding]:
    try:
        load_step(row["worker"].removeprefix(WORKERS))
    except StepNotFoundError as error:
        count = row["workflows"]
        which = "1 running workflow needs" if count == 1 else f"{count:,} running workflows need"
        flows = f"flow{'' if len(row['flows']) == 1 else 's'} {quoted(row['flows'])}"
        yield Finding(
            message=f"{which} a step of {flows} that the code here does not have: {error.code}: {error.message}",
            help="keep the step where it was until these workflows have ended, or cancel them; "
            "baton check-deploy names them",
        )
