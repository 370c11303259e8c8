"""Draw a run as text: its flow, the state of each step, and what went wrong."""

from __future__ import annotations

from collections.abc import Sequence

from baton_dsl.core.drawing import Drawing
from baton_dsl.core.spec import FlowSpec
from baton_dsl.core.wording import duration, last_exception
from baton_dsl.runtime.observing.status import NodeStatus


def picture(flow: FlowSpec, nodes: Sequence[NodeStatus]) -> str:
    """Draw the flow, with the state of each step behind its name."""
    states = {node.step: node.state for node in nodes}
    remarks = {node.step: remark for node in nodes if (remark := _remark(node))}
    return Drawing.of(flow).text(states, remarks)


def _remark(node: NodeStatus) -> str:
    parts = [node.state]
    if node.items:
        parts.append(", ".join(f"{count:,} {state}" for state, count in node.items.items()))
    if node.attempt > 1 or (node.attempt and node.state in ("retryable", "discarded")):
        parts.append(f"attempt {node.attempt} of {node.max_attempts}")
    if node.state == "completed" and node.attempted_at and node.settled_at:
        took = (node.settled_at - node.attempted_at).total_seconds()
        parts += [duration(took)] if took >= 0.001 else []
    if node.state != "completed" and node.error:
        parts.append(last_exception(node.error))
    return "; ".join(parts)
