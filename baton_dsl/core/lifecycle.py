"""How the nodes of one workflow change: the pure model of the state machine that `runtime/sql` runs.

It is written for reading, not for speed, and does nothing twice: what a node waits for, and what can't run any more, is
derived from the outcomes each time. The SQL counts and remembers instead; a test drives both through the same random
events and compares them after each.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum


class State(StrEnum):
    """The states of an Oban job, and `GONE` for one that was deleted or pruned."""

    SUSPENDED = "suspended"
    SCHEDULED = "scheduled"
    AVAILABLE = "available"
    EXECUTING = "executing"
    RETRYABLE = "retryable"
    COMPLETED = "completed"
    CANCELLED = "cancelled"
    DISCARDED = "discarded"
    GONE = "gone"

    @property
    def is_final(self) -> bool:
        """True if a job of this state has ended."""
        return self in _FINAL

    @property
    def is_queued(self) -> bool:
        """True if a job of this state may start, now or later, without anybody's doing."""
        return self in _QUEUED


_FINAL = frozenset([State.COMPLETED, State.CANCELLED, State.DISCARDED])
_QUEUED = frozenset([State.SCHEDULED, State.AVAILABLE, State.RETRYABLE])


class Outcome(StrEnum):
    """How a node, or a workflow, has settled."""

    COMPLETED = "completed"
    CANCELLED = "cancelled"
    DISCARDED = "discarded"


@dataclass(slots=True, kw_only=True)
class Node:
    """One step of one workflow.

    Attributes:
        upstreams: The names of the nodes that it waits for.
        ignore_cancelled: It runs though an upstream was cancelled.
        ignore_discarded: It runs though an upstream was discarded.
        state: The state of its job.
        is_later: Its job may not start before a moment to come.
        outcome: How it has settled; None until then.
        by_upstream: It was cancelled because of an upstream, not by itself.
    """

    upstreams: tuple[str, ...] = ()
    ignore_cancelled: bool = False
    ignore_discarded: bool = False
    state: State = State.SUSPENDED
    is_later: bool = False
    outcome: Outcome | None = None
    by_upstream: bool = False

    def ignores(self, outcome: Outcome) -> bool:
        """True if an upstream that ended so does not keep this node from running."""
        match outcome:
            case Outcome.COMPLETED:
                return True
            case Outcome.CANCELLED:
                return self.ignore_cancelled
            case Outcome.DISCARDED:
                return self.ignore_discarded


@dataclass(slots=True)
class Workflow:
    """The nodes of a workflow by name, each after its upstreams, and what may happen to them.

    Attributes:
        nodes: The nodes.
        is_paused: None of them starts.
        is_stopped: The workflow was cancelled as a whole: what still runs is not tried again.

    Example:
        >>> workflow = Workflow({"left": Node(), "right": Node(upstreams=("left",))})
        >>> workflow.insert()
        >>> workflow.pending("right")
        1
        >>> workflow.change({"left": State.EXECUTING})
        >>> workflow.settle(["left"])
        >>> workflow.nodes["right"].state
        <State.AVAILABLE: 'available'>
    """

    nodes: Mapping[str, Node]
    is_paused: bool = False
    is_stopped: bool = False
    downstreams: dict[str, list[str]] = field(init=False)

    def __post_init__(self) -> None:
        self.downstreams = {name: [] for name in self.nodes}
        for name, node in self.nodes.items():
            for upstream in node.upstreams:
                self.downstreams[upstream].append(name)

    # --- what follows from the outcomes ------------------------------------------------------------------------------

    def pending(self, name: str) -> int:
        """How much a node waits for: upstreams, and the end of a pause."""
        node = self.nodes[name]
        outcomes = [self.nodes[upstream].outcome for upstream in node.upstreams]
        waits = [outcome for outcome in outcomes if outcome is None or not node.ignores(outcome)]
        return len(waits) + self.is_paused

    def below(self, name: str) -> set[str]:
        """A node and all that waits for it, however far below."""
        reached = {name}
        for other, node in self.nodes.items():
            if not reached.isdisjoint(node.upstreams):
                reached.add(other)
        return reached

    def held(self, name: str) -> set[str]:
        """What keeps a node, and all behind it, from being run again: those that run, and those without a job."""
        return {below for below in self.below(name) if self.nodes[below].state in (State.EXECUTING, State.GONE)}

    @property
    def outcome(self) -> Outcome | None:
        """How the workflow ended: the worst of its nodes' outcomes; None while one is not settled."""
        outcomes = {node.outcome for node in self.nodes.values()}
        if None in outcomes:
            return None
        for worst in (Outcome.DISCARDED, Outcome.CANCELLED):
            if worst in outcomes:
                return worst
        return Outcome.COMPLETED

    def count(self, outcome: Outcome | None) -> int:
        """How many nodes have that outcome."""
        return sum(node.outcome is outcome for node in self.nodes.values())

    # --- what may happen ---------------------------------------------------------------------------------------------

    def insert(self) -> None:
        """The workflow is written: what waits for nothing may run."""
        self._promote()

    def settle(self, names: Iterable[str], claimed: Iterable[str] = ()) -> None:
        """Functions returned, and their results are stored. A node that has settled before keeps its outcome.

        Args:
            names: The nodes whose jobs run.
            claimed: Of what may run now, the nodes that take the places of the finished jobs at once.
        """
        for name in names:
            node = self.nodes[name]
            if node.outcome is None:
                node.outcome = Outcome.COMPLETED
                if node.state is State.EXECUTING:
                    node.state = State.COMPLETED
        self._promote()
        for name in claimed:
            assert self.nodes[name].state is State.AVAILABLE, f"{name} may not be claimed"
            self.nodes[name].state = State.EXECUTING

    def park(self, name: str) -> None:
        """A job runs too early: its gate puts it back."""
        node = self.nodes[name]
        if node.state is State.EXECUTING and node.outcome is None:
            node.state = State.SUSPENDED if self.pending(name) else State.AVAILABLE

    def change(self, states: Mapping[str, State]) -> None:
        """Somebody changed the states of jobs, in one statement: Oban, its API, Oban Web, SQL; `GONE` deletes."""
        before = {name: self.nodes[name].state for name in states}
        for name, state in states.items():
            self.nodes[name].state = state
        for name, old in before.items():
            node, new = self.nodes[name], states[name]
            if new.is_final or new is State.GONE:
                if old is not new and node.outcome is None and not old.is_final:
                    node.outcome = Outcome.CANCELLED if new is State.GONE else Outcome(new)
            elif old.is_final and node.outcome in _ENDED:
                self._revive()
            elif old in (State.EXECUTING, State.SUSPENDED) and new.is_queued:
                self._return(name)
        self._doom()
        self._promote()

    def pause(self) -> None:
        """Nothing of the workflow starts any more; what runs goes on."""
        self.is_paused = True
        for node in self.nodes.values():
            if node.outcome is None and node.state.is_queued:
                node.state = State.SUSPENDED

    def resume(self) -> None:
        """The pause is over."""
        self.is_paused = False
        self._promote()

    def stop(self) -> None:
        """The workflow is cancelled: all that does not run, and what runs is not tried again."""
        self.is_stopped = True
        for node in self.nodes.values():
            if node.outcome is None and node.state is not State.EXECUTING:
                node.outcome, node.state = Outcome.CANCELLED, State.CANCELLED
        self._doom()
        self._promote()

    def retry(self) -> None:
        """All that was cancelled or discarded may run again, as far as its job is still there."""
        ended = [node for node in self.nodes.values() if node.outcome in _ENDED and node.state is not State.GONE]
        for node in ended:
            if node.state.is_final:
                node.state = State.SUSPENDED
        if ended:
            self._revive()

    def retry_from(self, name: str) -> None:
        """A node and all behind it are to run again, completed or not; nothing changes while one of them can't."""
        if self.held(name):
            return
        for node in map(self.nodes.__getitem__, self.below(name)):
            node.state, node.outcome, node.by_upstream = State.SUSPENDED, Outcome.CANCELLED, True
        self._revive()

    # --- what follows ------------------------------------------------------------------------------------------------

    def _return(self, name: str) -> None:
        node = self.nodes[name]
        if node.outcome in _ENDED:
            node.state = State.CANCELLED
        elif node.outcome is None and self.is_stopped:
            node.state, node.outcome = State.CANCELLED, Outcome.CANCELLED
        elif node.outcome is None and self.pending(name):
            node.state = State.SUSPENDED

    def _doom(self) -> None:
        """What can't run any more is cancelled, all the way down: a node comes after its upstreams."""
        for node in self.nodes.values():
            if node.outcome is None and self._is_doomed(node):
                node.outcome, node.by_upstream = Outcome.CANCELLED, True
                if node.state is State.SUSPENDED or node.state.is_queued:
                    node.state = State.CANCELLED

    def _is_doomed(self, node: Node) -> bool:
        outcomes = (self.nodes[upstream].outcome for upstream in node.upstreams)
        return any(outcome is not None and not node.ignores(outcome) for outcome in outcomes)

    def _promote(self) -> None:
        for name, node in self.nodes.items():
            if node.outcome is None and node.state is State.SUSPENDED and not self.pending(name):
                node.state = State.SCHEDULED if node.is_later else State.AVAILABLE

    def _revive(self) -> None:
        """Take back what was cancelled because of nodes that live again, and retries that can't help."""
        self.is_stopped = False
        for node in self.nodes.values():
            ended_by_itself = node.state is State.GONE or (node.state.is_final and not node.by_upstream)
            if node.outcome in _ENDED and not ended_by_itself:
                node.outcome, node.by_upstream = None, False
        self._doom()
        for name, node in self.nodes.items():
            if node.by_upstream and (node.state is State.SUSPENDED or node.state.is_queued):
                node.state = State.CANCELLED
            if node.outcome is None and (node.state.is_final or (node.state.is_queued and self.pending(name))):
                node.state = State.SUSPENDED
        self._promote()


_ENDED = frozenset([Outcome.CANCELLED, Outcome.DISCARDED])
