"""Views of a workflow in memory: the same values that `Workflow` returns for one in the database."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Final

from baton_dsl.core.items import index_of, step_of
from baton_dsl.core.lifecycle import Node, Outcome, State
from baton_dsl.core.why import NodeFacts, QueueFacts, WorkflowFacts
from baton_dsl.runtime.lowering.lower import MODEL
from baton_dsl.runtime.observing.status import NodeStatus, state_of_items
from baton_dsl.status import WorkflowStatus

if TYPE_CHECKING:
    from baton_dsl.testing.memory import Memory

SLOTS: Final = 10
"""How many jobs of a queue run at once, as with `baton run`."""


def status_of(memory: Memory) -> WorkflowStatus:
    """The status of the workflow."""
    counts: dict[str, int] = {}
    for name, node in memory.model.nodes.items():
        if node.parent is None:
            state = _state(memory, name)
            counts[state] = counts.get(state, 0) + 1
    return WorkflowStatus(
        id=memory.lowered.workflow_id,
        name=memory.lowered.label,
        flow=memory.lowered.flow,
        outcome=None if memory.outcome is None else memory.outcome.value,
        counts=counts,
        inserted_at=memory.clock.moment(memory.inserted_at),
        settled_at=_moment(memory, memory.ended_at),
        paused_at=_moment(memory, memory.paused_at),
        stopped_at=_moment(memory, memory.stopped_at),
    )


def _moment(memory: Memory, seconds: float | None) -> datetime | None:
    return None if seconds is None else memory.clock.moment(seconds)


def _state(memory: Memory, name: str) -> str:
    node = memory.model.nodes[name]
    if node.outcome is Outcome.SKIPPED:
        return "skipped"
    if node.is_map:
        if node.outcome is not None:
            return node.outcome.value
        return "suspended" if node.items is None else state_of_items(_items_of(memory, name))
    return state_of(memory, name).value


def state_of(memory: Memory, name: str) -> State:
    """The state of a job; one that waits for more of the budget is suspended."""
    return State.SUSPENDED if memory.waits_for_budget(name) else memory.model.nodes[name].state


def _items_of(memory: Memory, root: str) -> dict[str, int]:
    """How many items of a map are in each state."""
    items: dict[str, int] = {}
    for name, node in memory.model.nodes.items():
        if node.root == root and not node.is_map:
            state = _state(memory, name)
            items[state] = items.get(state, 0) + 1
    return items


def nodes_of(memory: Memory, root: str | None = None) -> list[NodeStatus]:
    """The status of each step, or of each item of a map."""
    names = [
        name
        for name, node in memory.model.nodes.items()
        if (node.parent is None if root is None else node.root == root and name != root and not node.is_map)
    ]
    return [_node_status(memory, name) for name in names]


def _node_status(memory: Memory, name: str) -> NodeStatus:
    node = memory.model.nodes[name]
    row = memory.jobs.get(name)
    items: dict[str, int] | None = None
    began = row.attempted_at if row is not None else None
    if node.is_map:
        items = _items_of(memory, name)
        starts = [
            it.attempted_at
            for other, it in memory.jobs.items()
            if memory.model.nodes[other].root == name and it.attempted_at is not None
        ]
        began = min(starts, default=None)
    return NodeStatus(
        step=name,
        state=_state(memory, name),
        deps=node.upstreams,
        attempt=row.attempt if row is not None else 0,
        max_attempts=row.max_attempts if row is not None else 0,
        queue=row.template["queue"] if row is not None else None,
        worker=memory.templates[step_of(name)]["worker"],
        error=memory.error(name),
        attempted_at=_moment(memory, began),
        scheduled_at=_moment(memory, row.due if row is not None else None),
        settled_at=_moment(memory, memory.settled_at.get(name)),
        items=items,
        model=model_of(memory, name),
    )


def model_of(memory: Memory, name: str) -> str | None:
    """The model that was chosen for a node."""
    node = memory.model.nodes[name]
    if node.is_map:
        return None
    models = None if node.parent is None else memory.models_of(node.parent)
    index = index_of(name)
    if models is not None and index is not None:
        return models[index[-1]]
    return memory.args[name].get(MODEL) if node.parent is None else None


def facts_of(memory: Memory) -> WorkflowFacts:
    """The facts about the workflow, for `why`."""
    queues = {row.template["queue"] for row in memory.jobs.values()}
    running = [memory.jobs[name].template["queue"] for name in memory.executing()]
    return WorkflowFacts(
        now=memory.clock.now(),
        inserted_at=memory.clock.moment(memory.inserted_at),
        settled_at=_moment(memory, memory.ended_at),
        paused_at=_moment(memory, memory.paused_at),
        stopped_at=_moment(memory, memory.stopped_at),
        outcome=None if memory.outcome is None else memory.outcome.value,
        nodes={name: _node_facts(memory, name, node) for name, node in memory.model.nodes.items()},
        budget=memory.budget.limit,
        spent=memory.budget.spent,
        reserved=memory.budget.reserved(memory.running()),
        queues={name: QueueFacts(nodes=1, slots=SLOTS, running=running.count(name)) for name in queues},
    )


def _node_facts(memory: Memory, name: str, node: Node) -> NodeFacts:
    row = memory.jobs.get(name)
    return NodeFacts(
        step=name,
        state=State.SUSPENDED if node.is_map else state_of(memory, name),
        waits_for=row.reserve if row is not None and memory.waits_for_budget(name) else None,
        upstreams=node.upstreams,
        outcome=None if node.outcome is None else node.outcome.value,
        by_upstream=node.by_upstream,
        ignore_cancelled=node.ignore_cancelled,
        ignore_discarded=node.ignore_discarded,
        queue=row.template["queue"] if row is not None else "",
        attempt=row.attempt if row is not None else 0,
        max_attempts=row.max_attempts if row is not None else 0,
        scheduled_at=_moment(memory, row.due if row is not None else None),
        attempted_at=_moment(memory, row.attempted_at if row is not None else None),
        settled_at=_moment(memory, memory.settled_at.get(name)),
        runs_on="memory",
        error=memory.error(name),
        part_of=node.parent,
        has_expanded=node.items is not None,
        is_held=node.parent is not None and bool(node.is_held),
        model=model_of(memory, name) if node.parent is not None else None,
    )
