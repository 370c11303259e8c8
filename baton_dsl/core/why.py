"""Explain in a sentence what a workflow or step is waiting for, or why it ended, from facts about it."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Final

from baton_dsl.core import defaults
from baton_dsl.core.nodes import ENDED, Outcome, State, runs_behind
from baton_dsl.core.reasons import WITH_ITS_WORKFLOW
from baton_dsl.core.wording import beyond_budget, counted, duration, last_exception, moment, printable

TOLD: Final = 3
"""How many causes of a workflow's state are described one by one."""
HOPS: Final = 4
"""How many steps of a chain are named one by one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeFacts:
    """The facts about a node and its job.

    Attributes:
        step: The name of its step.
        state: The state of its job; `GONE` if there is none.
        upstreams: The names of the nodes that it waits for.
        outcome: How it settled: an `Outcome`, or `skipped`.
        by_upstream: Whether it was cancelled or skipped because of an upstream, not by itself.
        ignore_cancelled: Whether it runs although an upstream was cancelled.
        ignore_discarded: Whether it runs although an upstream was discarded.
        queue: The queue of its job.
        attempt: The number of attempts so far.
        max_attempts: The number of attempts after which it is discarded.
        scheduled_at: The earliest time at which it may run.
        attempted_at: When the last attempt began.
        settled_at: When it settled.
        runs_on: The name of the Oban node that runs it, or ran it last.
        is_alive: Whether the process that runs it is alive.
        error: Its last error, as Oban stores it; or why it was skipped.
        part_of: The map that it is an item of.
        has_expanded: Whether it is a map that waits for its items.
        is_held: Whether it is an item that waits for others to end, because its map limits how many run at once.
        ahead: How many jobs its queue starts before it, if that was counted.
        is_last_crash: Whether another death of its process discards it.
        absent: Why the Oban node that fetched it last gave it back, if that lacks its code.
        waits_for: The amount that it would reserve of the budget, if too little is left.
        model: The model of an item of a step of several models.
    """

    step: str
    state: State
    upstreams: tuple[str, ...] = ()
    outcome: str | None = None
    by_upstream: bool = False
    ignore_cancelled: bool = False
    ignore_discarded: bool = False
    queue: str = defaults.QUEUE
    attempt: int = 0
    max_attempts: int = defaults.MAX_ATTEMPTS
    scheduled_at: datetime | None = None
    attempted_at: datetime | None = None
    settled_at: datetime | None = None
    runs_on: str | None = None
    is_alive: bool = True
    error: str | None = None
    part_of: str | None = None
    has_expanded: bool = False
    is_held: bool = False
    ahead: int | None = None
    is_last_crash: bool = False
    absent: str | None = None
    waits_for: Decimal | None = None
    model: str | None = None

    @property
    def named(self) -> str:
        """Its name in a sentence: `"charge"`, `"assess[0]" (anthropic:a)`."""
        return f'"{self.step}"' if self.model is None else f'"{self.step}" ({printable(self.model)})'

    def ignores(self, outcome: str) -> bool:
        """True if this node may run although an upstream ended with that outcome."""
        return runs_behind(outcome, ignore_cancelled=self.ignore_cancelled, ignore_discarded=self.ignore_discarded)


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueFacts:
    """The facts about a queue.

    Attributes:
        nodes: How many nodes run it.
        paused: On how many of these nodes it is paused.
        slots: How many jobs these nodes together run at once.
        running: How many of its jobs run.
    """

    nodes: int = 0
    paused: int = 0
    slots: int = 0
    running: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkflowFacts:
    """The facts about a workflow at one time.

    Attributes:
        now: The time of the facts. Sentences show times in its zone.
        nodes: Its nodes by name, in topological order.
        queues: The queues that any node runs, by name.
        outcome: How it ended.
        inserted_at: When it was inserted.
        settled_at: When its last node settled.
        paused_at: Since when it is paused.
        stopped_at: When it was cancelled as a whole.
        budget: What its calls of models may cost; None if that is not limited.
        spent: How much of the budget is spent.
        reserved: How much of the budget running attempts have reserved and not spent.
    """

    now: datetime
    inserted_at: datetime
    nodes: Mapping[str, NodeFacts]
    queues: Mapping[str, QueueFacts] = field(default_factory=dict)
    outcome: str | None = None
    settled_at: datetime | None = None
    paused_at: datetime | None = None
    stopped_at: datetime | None = None
    budget: Decimal | None = None
    spent: Decimal = Decimal(0)
    reserved: Decimal = Decimal(0)
    _parts: Mapping[str, Sequence[NodeFacts]] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Group the items by their maps, because there may be thousands."""
        parts: dict[str, list[NodeFacts]] = {}
        for node in self.nodes.values():
            if node.part_of is not None:
                parts.setdefault(node.part_of, []).append(node)
        object.__setattr__(self, "_parts", parts)

    def items_of(self, node: NodeFacts) -> Sequence[NodeFacts]:
        """The children of a map."""
        return self._parts.get(node.step, ())

    def at(self, when: datetime | None) -> str:
        """` at 12:04:00 UTC`, or nothing if the time is not known."""
        return f" at {moment(when, self.now)}" if when else ""


def why(facts: WorkflowFacts, step: str | None = None) -> str:
    """One sentence about a workflow, or about one step of it.

    Args:
        facts: The facts about the workflow.
        step: The step; None for the workflow.

    Examples:
        >>> from datetime import UTC
        >>> now = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
        >>> charge = NodeFacts(step="charge", state=State.AVAILABLE, queue="llm")
        >>> report = NodeFacts(step="report", state=State.SUSPENDED, upstreams=("charge",))
        >>> facts = WorkflowFacts(now=now, inserted_at=now, nodes={"charge": charge, "report": report})
        >>> why(facts, "report")
        '"report" waits for "charge", which could start, but no worker runs queue "llm".'
    """
    said = _of_workflow(facts) if step is None else _of_step(facts, facts.nodes[step])
    return f"{said}."


def causes(facts: WorkflowFacts, step: str | None = None) -> list[str]:
    """The steps that the sentence names as causes, the most important first."""
    if step is not None:
        return [_path(facts, facts.nodes[step])[-1].step]
    unsettled = [node for node in facts.nodes.values() if node.outcome is None]
    return [node.step for node in _by_urgency(facts, (node for node in unsettled if not _waits_for(facts, node)))]


# --- one step --------------------------------------------------------------------------------------------------------


def _of_step(facts: WorkflowFacts, node: NodeFacts) -> str:
    path = _path(facts, node)
    links = [f"{_verb(hop)} {below.named}" for hop, below in itertools.pairwise(path)]
    if len(links) > HOPS:
        links = [f"{links[0]}, which, through {len(links) - 2} others, {links[-1]}"]
    said = f"{node.named} " + ", which ".join([*links, _predicate(facts, path[-1])])
    if node.outcome is not None:
        return said
    others = [other for other in _roots(facts, node) if other is not path[-1]]
    if others:
        said += f"; it also waits for {_some(other.named for other in others)}"
    if facts.paused_at and path[-1].state is not State.SUSPENDED:
        said += f"; also, the workflow has been paused since {moment(facts.paused_at, facts.now)}"
    return said


def _verb(node: NodeFacts) -> str:
    return "waits for" if node.outcome is None else f"was {node.outcome} because of"


def _path(facts: WorkflowFacts, node: NodeFacts) -> list[NodeFacts]:
    """The path from a node to the node that explains its state; if there are several, to the most urgent one."""
    if node.outcome is not None:
        path = [node]
        while (culprit := _culprit(facts, path[-1])) is not None and len(path) <= len(facts.nodes):
            path.append(culprit)  # a row that was changed by hand may name itself: the path must end nevertheless
        return path
    below: dict[str, NodeFacts] = {}
    roots = _roots(facts, node, below)
    path = [roots[0]]
    while path[-1].step != node.step:
        path.append(below[path[-1].step])
    return path[::-1]


def _roots(facts: WorkflowFacts, node: NodeFacts, below: dict[str, NodeFacts] | None = None) -> list[NodeFacts]:
    """The last nodes of the chains that a node waits for, most urgent first; `below` gets the way back to the node."""
    seen, queue, roots = {node.step}, [node], []
    for current in queue:  # breadth first, so that the way back is a shortest one
        waits = _waits_for(facts, current)
        if not waits:
            roots.append(current)
        for upstream in waits:
            if upstream.step not in seen:
                seen.add(upstream.step)
                queue.append(upstream)
                if below is not None:
                    below[upstream.step] = current
    return _by_urgency(facts, roots)


def _waits_for(facts: WorkflowFacts, node: NodeFacts) -> list[NodeFacts]:
    if node.state is not State.SUSPENDED or node.is_held:
        return []
    if node.has_expanded:
        return [item for item in facts.items_of(node) if item.outcome is None]
    upstreams = (facts.nodes[name] for name in node.upstreams if name in facts.nodes)
    return [upstream for upstream in upstreams if upstream.outcome is None]


def _culprit(facts: WorkflowFacts, node: NodeFacts) -> NodeFacts | None:
    """The upstream or item because of which a node did not complete, preferably one that ended by itself."""
    if node.has_expanded and node.outcome in ENDED:
        ended = [item for item in facts.items_of(node) if item.outcome == node.outcome]
    elif node.by_upstream:
        upstreams = [facts.nodes[name] for name in node.upstreams if name in facts.nodes]
        ended = [upstream for upstream in upstreams if upstream.outcome and _keeps(node, upstream.outcome)]
    else:
        return None
    return min(ended, key=lambda other: other.by_upstream, default=None)


def _keeps(node: NodeFacts, outcome: str) -> bool:
    """Whether an upstream with that outcome prevents a node from running."""
    return outcome == node.outcome if node.outcome == Outcome.SKIPPED else not node.ignores(outcome)


def _by_urgency(facts: WorkflowFacts, nodes: Iterable[NodeFacts]) -> list[NodeFacts]:
    return sorted(nodes, key=lambda node: _urgency(facts, node))


def _urgency(facts: WorkflowFacts, node: NodeFacts) -> int:
    """The rank of a node: nodes that need help come first, nodes that progress by themselves last."""
    if node.state is State.EXECUTING:
        return 4 if node.is_alive else 1
    if node.state is State.GONE or node.state.is_final:
        return 0
    if node.state.is_queued and (node.absent or _obstacle(facts, node)):
        return 1
    if node.is_held:  # it waits for other items of its map, which the sentence names first
        return 5
    return 2 if node.state is State.RETRYABLE else 3


# --- the last step of a chain ---------------------------------------------------------------------------------------


def _predicate(facts: WorkflowFacts, node: NodeFacts) -> str:
    if node.outcome is not None:
        return _ending(facts, node)
    match node.state:
        case State.SUSPENDED if node.is_held:
            return (
                f'waits until other items of "{node.part_of}" end, because max_concurrency limits how many run at once'
            )
        case State.SUSPENDED if facts.paused_at:
            return f"does not start, because the workflow has been paused since {moment(facts.paused_at, facts.now)}"
        case State.SUSPENDED if node.waits_for is not None and facts.budget is not None:
            return beyond_budget(node.waits_for, facts.budget, facts.spent, facts.reserved)
        case State.SUSPENDED:
            return "waits, though nothing keeps it from running: see baton doctor"
        case State.EXECUTING:
            return _running(facts, node)
        case State.RETRYABLE | State.SCHEDULED:
            return _later(facts, node)
        case State.AVAILABLE:
            return _queued(facts, node)
        case State.GONE:
            return "can't run, because its job is gone: see baton doctor"
        case _:
            return f"has not settled, though its job is {node.state}: see baton doctor"


def _ending(facts: WorkflowFacts, node: NodeFacts) -> str:
    reason = last_exception(node.error)
    tries = f" in attempt {node.attempt} of {node.max_attempts}" if node.attempt else ""
    match node.outcome:
        case Outcome.DISCARDED:
            return f"was discarded{facts.at(node.settled_at)}{tries}" + (f": {reason}" if reason else "")
        case Outcome.SKIPPED:
            return f"was skipped{facts.at(node.settled_at)}" + (f": {reason}" if reason else "")
        case Outcome.CANCELLED if reason == WITH_ITS_WORKFLOW:
            return f"was cancelled with its workflow{facts.at(node.settled_at)}"
        case Outcome.CANCELLED if node.state is State.GONE:
            return f"was cancelled{facts.at(node.settled_at)}; its job, which would tell why, is gone"
        case Outcome.CANCELLED:
            return f"was cancelled{facts.at(node.settled_at)}" + (f": {reason}" if reason else "")
        case _:
            return f"{node.outcome}{facts.at(node.settled_at)}{tries if node.attempt > 1 else ''}"


def _running(facts: WorkflowFacts, node: NodeFacts) -> str:
    where = f" on node {node.runs_on}" if node.runs_on else ""
    if not node.is_alive:
        if node.is_last_crash:
            return f"ran{where}, whose process is gone, as often as it may be: it will be discarded"
        soon = "within seconds" if facts.queues else "once a node runs"
        return f"ran{where}, whose process is gone: it will start again {soon}"
    since = f" since {moment(node.attempted_at, facts.now)}" if node.attempted_at else ""
    said = f"has run{since}{where}, attempt {node.attempt} of {node.max_attempts}"
    return said + (", and will not be retried, because the workflow was cancelled" if facts.stopped_at else "")


def _later(facts: WorkflowFacts, node: NodeFacts) -> str:
    left = (node.scheduled_at - facts.now).total_seconds() if node.scheduled_at else 0
    due = f"{facts.at(node.scheduled_at).strip()}, in {duration(left)}" if left > 0 else "now"
    if node.state is State.RETRYABLE:
        reason = last_exception(node.error)
        failed = f"failed in attempt {node.attempt} of {node.max_attempts}" + (f" ({reason})" if reason else "")
        said = f"{failed}; attempt {node.attempt + 1} starts {due}"
    else:
        said = f"was put off and starts {due}" if node.attempted_at else f"starts {due}"
        if node.absent:
            said = f"{_absence(node)}; it is fetched again {due}"
    return f"{said}, but {obstacle}" if (obstacle := _obstacle(facts, node)) else said


def _absence(node: NodeFacts) -> str:
    where = f"node {node.runs_on}" if node.runs_on else "a node"
    return f"was given back by {where}, which lacks its code ({node.absent})"


def _queued(facts: WorkflowFacts, node: NodeFacts) -> str:
    obstacle = _obstacle(facts, node)
    if node.absent:
        return f"{_absence(node)}; it is fetched again" + (f", but {obstacle}" if obstacle else "")
    if obstacle:
        return f"could start, but {obstacle}"
    queue = facts.queues[node.queue]
    slots = f"{queue.slots} slots are" if queue.slots > 1 else "only slot is"
    taken = f", whose {slots} taken" if queue.slots and queue.running >= queue.slots else ""
    if node.ahead is None:
        return f'waits for a slot of queue "{node.queue}"{taken}'
    if node.ahead == 0:
        return f'is the next to start in queue "{node.queue}"{taken}'
    return f'waits for a slot behind {counted(node.ahead, "job")} of queue "{node.queue}"{taken}'


def _obstacle(facts: WorkflowFacts, node: NodeFacts) -> str | None:
    """Why a queue starts nothing; None if it can."""
    queue = facts.queues.get(node.queue, QueueFacts())
    if not queue.nodes:
        return f'no worker runs queue "{node.queue}"'
    if queue.paused == queue.nodes:
        where = "on all nodes" if queue.nodes > 1 else "on the only node that runs it"
        return f'queue "{node.queue}" is paused {where}'
    return None


# --- the workflow -----------------------------------------------------------------------------------------------------


def _of_workflow(facts: WorkflowFacts) -> str:
    if facts.outcome is None:
        return _under_way(facts)
    if facts.outcome == Outcome.COMPLETED:
        took = duration(((facts.settled_at or facts.now) - facts.inserted_at).total_seconds())
        return f"The workflow completed{facts.at(facts.settled_at)}, after {took}"
    ended = f"The workflow was {facts.outcome}{facts.at(facts.settled_at)}"
    steps = _steps(facts)
    origins = [node for node in steps if node.outcome in ENDED and not node.by_upstream]
    by_hand = [node for node in origins if last_exception(node.error) == WITH_ITS_WORKFLOW]
    others = [node for node in origins if node not in by_hand]
    others.sort(key=lambda node: node.outcome != Outcome.DISCARDED)
    said = [_of_step(facts, node) for node in others[:TOLD]]
    if len(others) > TOLD:
        said.append(f"and {counted(len(others) - TOLD, 'other')}")
    if by_hand:
        said.append(f"{counted(len(by_hand), 'step')} had not run when somebody cancelled it")
    behind = sum(node.by_upstream and node.outcome == Outcome.CANCELLED for node in steps)
    if behind:
        said.append(f"that cancelled {counted(behind, 'downstream step')}")
    return f"{ended}: " + "; ".join(said)


def _steps(facts: WorkflowFacts) -> list[NodeFacts]:
    """The nodes of steps, without the items of maps."""
    return [node for node in facts.nodes.values() if node.part_of is None]


def _under_way(facts: WorkflowFacts) -> str:
    steps = _steps(facts)
    unsettled = sum(node.outcome is None for node in steps)
    said = f"{unsettled:,} of {counted(len(steps), 'step')} {'has' if unsettled == 1 else 'have'} not settled"
    if facts.paused_at:
        said = f"The workflow has been paused since {moment(facts.paused_at, facts.now)}: {said}"
    elif facts.stopped_at:
        said = f"The workflow was cancelled{facts.at(facts.stopped_at)}: {said}"
    found = [facts.nodes[step] for step in causes(facts)]
    if facts.paused_at:  # the sentence says so already
        found = [node for node in found if node.state is not State.SUSPENDED]
    clauses = [f"{node.named} {_predicate(facts, node)}" for node in found[:TOLD]]
    if len(found) > TOLD:
        clauses.append(f"and {counted(len(found) - TOLD, 'other')}")
    return f"{said}{'; ' if facts.paused_at or facts.stopped_at else ': '}" + "; ".join(clauses) if clauses else said


def _some(names: Iterable[str]) -> str:
    listed: Sequence[str] = list(names)
    shown = list(listed[:TOLD])
    if len(listed) > TOLD:
        shown.append(counted(len(listed) - TOLD, "other"))
    return " and ".join([", ".join(shown[:-1]), shown[-1]]) if len(shown) > 1 else shown[0]
