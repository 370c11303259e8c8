"""Draw the graph of a workflow, with the state of each node and a remark."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Final

from baton_dsl.core.drawing import MOST_TELLING
from baton_dsl.core.spec import FlowSpec, Reference, StepSpec
from baton_dsl.core.wording import duration, last_exception, printable
from baton_dsl.runtime.workflow import NodeStatus, WorkflowStatus

TOLD: Final = tuple(it for it in MOST_TELLING if it not in ("available", "scheduled", "suspended", "completed"))
"""The states of items that a remark counts beside the completed ones. Items in other states just wait."""


def graph_of(name: str, nodes: Sequence[NodeStatus]) -> FlowSpec:
    """The graph as the database has it, so that a workflow can be drawn without its code."""
    steps = (StepSpec(name=node.step, deps=tuple(map(Reference, node.deps))) for node in nodes)
    return FlowSpec(name=name, steps=tuple(steps))


def states_of(nodes: Sequence[NodeStatus]) -> dict[str, str]:
    """The state of each node by its step."""
    return {node.step: node.state for node in nodes}


def remarks_on(nodes: Sequence[NodeStatus]) -> dict[str, str]:
    """A remark for each node: what its state does not say."""
    now = datetime.now(UTC)
    return {node.step: printable(remark) for node in nodes if (remark := remark_on(node, now))}


def remark_on(node: NodeStatus, now: datetime) -> str:
    """How long a node took, how often it was tried, and why it failed; for a map, how many items are completed."""
    if node.items:
        return ", ".join([_counted(node.items), *_lasted(node.attempted_at, node.settled_at or now)])
    tries = f"attempt {node.attempt} of {node.max_attempts}"
    again = [tries] if node.attempt > 1 else []
    match node.state:
        case "completed" if node.items is not None:
            return "no items"
        case "completed":
            return ", ".join([*_lasted(node.attempted_at, node.settled_at), *again])
        case "executing":
            return ", ".join([*_lasted(node.attempted_at, now), *again])
        case "retryable":
            return "; ".join(filter(None, (tries, last_exception(node.error), _due(node.scheduled_at, now))))
        case "scheduled":
            return _due(node.scheduled_at, now)
        case "cancelled" | "discarded" | "skipped":
            return last_exception(node.error)
        case _:
            return ""


def _counted(items: Mapping[str, int]) -> str:
    done = f"{items.get('completed', 0):,}/{sum(items.values()):,} completed"
    return ", ".join([done, *(f"{items[state]:,} {state}" for state in TOLD if items.get(state))])


def lasted(status: WorkflowStatus) -> str:
    """The time from the insert of a workflow to its end, or to now."""
    return duration(((status.settled_at or datetime.now(UTC)) - status.inserted_at).total_seconds())


def _lasted(since: datetime | None, until: datetime | None) -> list[str]:
    return [duration((until - since).total_seconds())] if since and until else []


def _due(moment: datetime | None, now: datetime) -> str:
    left = (moment - now).total_seconds() if moment else 0
    return f"due in {duration(left)}" if left > 0 else ""
