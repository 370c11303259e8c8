"""The timeline of a workflow: when its steps waited and ran, as bars on one axis."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from baton_dsl.core.wording import duration
from baton_dsl.web.reads import NodeView, WorkflowView

ROWS: Final = 40
"""The most steps that are shown: those that ran longest."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """The bar of one step; all positions are in percent of the axis.

    Attributes:
        step: Its name.
        state: Its state.
        waits: When it began to wait for a slot or for its next attempt, and for how long.
        runs: When its last attempt began, and for how long it ran.
        failed: When earlier attempts failed.
        text: The same in words.
    """

    step: str
    state: str
    waits: tuple[float, float] | None
    runs: tuple[float, float] | None
    failed: Sequence[float]
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeline:
    """The bars, and the labels at the quarters of the axis."""

    rows: Sequence[Row]
    marks: Sequence[tuple[float, str]]
    left_out: int


def timeline(workflow: WorkflowView) -> Timeline:
    """The timeline of the steps of a workflow that were ready."""
    begun = [node for node in workflow.nodes if node.began_at is not None or (node.ready_at and not node.is_settled)]
    shown = begun
    if len(begun) > ROWS:
        longest = sorted(begun, key=lambda node: _seconds(node, workflow.now), reverse=True)[:ROWS]
        chosen = {node.step for node in longest}
        shown = [node for node in begun if node.step in chosen]
    start = min([workflow.inserted_at, *(node.began_at for node in shown if node.began_at)])
    span = max((((workflow.settled_at or workflow.now) - start).total_seconds()), 0.001)

    def place(moment: datetime) -> float:
        return round(min(max((moment - start).total_seconds() / span * 100, 0), 100), 2)

    def row(node: NodeView) -> Row:
        end = node.settled_at or workflow.now
        ready = node.ready_at or node.began_at or end
        began = node.began_at if node.state != "retryable" else None
        waited = (began or end) - ready
        runs = (place(began), max(round(place(end) - place(began), 2), 0.3)) if began else None
        parts = [f"waited {duration(waited.total_seconds())}"] if waited.total_seconds() >= 0.01 else []
        if began:
            verb = "ran" if node.is_settled else "has run for"
            parts.append(f"{verb} {duration((end - began).total_seconds())}")
        if node.failed_at:
            parts.append(f"failed {len(node.failed_at)} {'time' if len(node.failed_at) == 1 else 'times'} before")
        return Row(
            step=node.step,
            state=node.state,
            waits=(place(ready), round(place(began or end) - place(ready), 2)) if (began or end) > ready else None,
            runs=runs,
            failed=[place(moment) for moment in node.failed_at],
            text=", ".join(parts),
        )

    return Timeline(
        rows=[row(node) for node in shown],
        marks=[(share * 100, duration(span * share)) for share in (0, 0.25, 0.5, 0.75, 1)],
        left_out=len(begun) - len(shown),
    )


def _seconds(node: NodeView, now: datetime) -> float:
    return ((node.settled_at or now) - (node.began_at or node.ready_at or now)).total_seconds()
