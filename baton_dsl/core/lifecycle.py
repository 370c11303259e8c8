"""The pure model of the life cycle of nodes: the state machine that `runtime/sql` implements.

It is written for reading, not for speed, and keeps no derived state: what a node waits for, and which nodes can't run
any more, is computed from the outcomes each time. The SQL keeps counters instead. A test sends the same random events
through both and compares them after each event.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from itertools import product

from baton_dsl.core.nodes import ENDED, Node, Outcome, Over, State

__all__ = ["Node", "Outcome", "Over", "State", "Workflow"]


@dataclass(slots=True)
class Workflow:
    """The nodes of a workflow by name, each after its upstreams, and what may happen to them.

    Attributes:
        nodes: The nodes.
        is_paused: Whether the workflow is paused: no node starts.
        is_stopped: Whether the workflow was cancelled as a whole: nodes that still run are not retried.

    Examples:
        >>> workflow = Workflow({"left": Node(), "right": Node(upstreams=("left",))})
        >>> workflow.insert()
        >>> workflow.pending("right")
        1
        >>> workflow.change({"left": State.EXECUTING})
        >>> workflow.settle(["left"])
        >>> workflow.nodes["right"].state
        <State.AVAILABLE: 'available'>
    """

    nodes: dict[str, Node]
    is_paused: bool = False
    is_stopped: bool = False

    # --- what follows from the outcomes ------------------------------------------------------------------------------

    def pending(self, name: str) -> int:
        """How many things a node waits for: upstreams or a map's children, a place in a window, the end of a pause."""
        node = self.nodes[name]
        if node.items is not None:
            return sum(child.outcome is None for child in self.children(name).values())
        waits = sum(self._waits(node, upstream) for upstream in node.upstreams)
        return waits + bool(node.is_held) + self.is_paused

    def _waits(self, node: Node, upstream: str) -> bool:
        above = self.nodes[upstream]
        if node.maps_over(upstream):
            return above.items is None if above.is_map else above.outcome is not Outcome.COMPLETED
        return above.outcome is None or not node.ignores(above.outcome, upstream)

    def children(self, name: str) -> dict[str, Node]:
        """The children of a map, in order."""
        return {other: node for other, node in self.nodes.items() if node.parent == name}

    def below(self, name: str) -> dict[str, bool]:
        """The nodes that run again if a node does: the node and everything downstream of it.

        The value is True for nodes that run or expand again; the children of such maps are left out. It is False for
        maps that only conclude again, because one of their children runs again.
        """
        reached: dict[str, bool] = {}
        left = [(name, True)]
        while left:
            current, is_whole = left.pop()
            if reached.get(current) in (True, is_whole):
                continue
            reached[current] = is_whole
            parent = self.nodes[current].parent
            if parent is not None:
                left.append((parent, False))
            for other, node in self.nodes.items():
                follows_by_item = node.items is not None and node.maps_over(current) and self.nodes[current].is_map
                if current in node.upstreams and (is_whole or not follows_by_item):
                    left.append((other, True))
        made_anew = self.made_anew(reached)
        return {other: is_whole for other, is_whole in reached.items() if other not in made_anew}

    def made_anew(self, below: Mapping[str, bool]) -> set[str]:
        """The children, at every level, of the maps that expand again."""
        made = {other for other, node in self.nodes.items() if node.parent and below.get(node.parent)}
        while more := {other for other, node in self.nodes.items() if node.parent in made} - made:
            made |= more
        return made

    def held(self, name: str) -> set[str]:
        """The nodes that prevent a retry from a node: those of it and its downstream that run, or have no job."""
        below = self.below(name)
        made_anew = self.made_anew(below)
        return {
            other
            for other, node in self.nodes.items()
            if (below.get(other) and not node.is_map and node.state is State.GONE)
            or ((below.get(other) or other in made_anew) and node.state is State.EXECUTING)
        }

    @property
    def outcome(self) -> Outcome | None:
        """How the workflow ended: the worst of its nodes' outcomes; None while one is not settled."""
        outcomes = {node.outcome for node in self.nodes.values() if node.parent is None}
        if None in outcomes:
            return None
        for worst in (Outcome.DISCARDED, Outcome.CANCELLED):
            if worst in outcomes:
                return worst
        return Outcome.COMPLETED

    def count(self, outcome: Outcome | None) -> int:
        """How many nodes have an outcome. Items are not counted: their map is."""
        return sum(node.outcome is outcome for node in self.nodes.values() if node.parent is None)

    # --- what may happen ---------------------------------------------------------------------------------------------

    def insert(self) -> None:
        """The workflow is inserted: nodes without upstreams may run."""
        self._advance()

    def settle(
        self, names: Iterable[str], claimed: Iterable[str] = (), result: object = None, *, skips: bool = False
    ) -> None:
        """Functions returned, and their results are stored. A node that has already settled keeps its outcome.

        If such a node was cancelled or discarded, its job ends too.

        Args:
            names: The nodes whose jobs run, or ran: a late result counts, although its job may run elsewhere by now.
            claimed: The promoted nodes that start at once in the slots of the finished jobs.
            result: What the functions returned.
            skips: Whether the functions returned `Skip`.
        """
        for name in names:
            node = self.nodes[name]
            if node.outcome is None:
                node.outcome = Outcome.SKIPPED if skips else Outcome.COMPLETED
                node.result = result
                if node.state is State.EXECUTING:
                    node.state = State.COMPLETED
            elif node.outcome in ENDED and node.state is State.EXECUTING:
                node.state = State.CANCELLED
        self._advance()
        for name in claimed:
            assert self.nodes[name].state is State.AVAILABLE, f"{name} may not be claimed"
            self.nodes[name].state = State.EXECUTING

    def park(self, name: str) -> None:
        """A job started too early or too late: its gate puts it back, or ends it."""
        node = self.nodes[name]
        if node.state is not State.EXECUTING or node.outcome in (Outcome.COMPLETED, Outcome.SKIPPED):
            return
        if node.outcome is None and not self.is_stopped:
            node.state = State.SUSPENDED if self.pending(name) else State.AVAILABLE
            return
        node.state = State.CANCELLED
        if node.outcome is None:
            node.outcome = Outcome.CANCELLED
            self._advance()

    def change(self, states: Mapping[str, State], going: Iterable[str] = ()) -> None:
        """Oban, its API, Oban Web or SQL changed the states of jobs in one statement; `GONE` means deleted.

        Args:
            states: The new states.
            going: The items that get places in a window first. The database handles the jobs one by one, in an order
                that the model can't know.
        """
        before = {name: self.nodes[name].state for name in states}
        for name, state in states.items():
            self.nodes[name].state = state
        for name, old in before.items():
            node, new = self.nodes[name], states[name]
            if new.is_final or new is State.GONE:
                if old is not new and node.outcome is None and not old.is_final:
                    node.outcome = Outcome.CANCELLED if new is State.GONE else Outcome(new)
            elif old.is_final and node.outcome in ENDED:
                self._revive(going)
            elif old.is_final and node.outcome is Outcome.SKIPPED and node.by_upstream:
                node.state = State.CANCELLED
            elif old in (State.EXECUTING, State.SUSPENDED) and new.is_queued:
                self._return(name)
        self._advance(going)

    def pause(self) -> None:
        """The workflow is paused: no node starts, and running nodes continue."""
        self.is_paused = True
        for node in self.nodes.values():
            if node.outcome is None and node.state.is_queued:
                node.state = State.SUSPENDED

    def resume(self) -> None:
        """The pause is over."""
        self.is_paused = False
        self._advance()

    def stop(self) -> None:
        """The workflow is cancelled: nodes that do not run are cancelled, and running nodes are not retried."""
        self.is_stopped = True
        for node in self.nodes.values():
            if node.outcome is None and node.items is None and node.state is not State.EXECUTING:
                node.outcome = Outcome.CANCELLED
                if not node.is_map:
                    node.state = State.CANCELLED
        self._advance()

    def retry(self) -> None:
        """Cancelled and discarded nodes may run again, if their jobs still exist."""
        ended = self.retriable()
        for node in ended:
            if node.state.is_final:
                node.state = State.SUSPENDED
        if ended:
            for node in self.nodes.values():
                if node.is_map and node.items is None and node.outcome in ENDED:
                    node.by_upstream = True  # it has no job whose state could say that it may run again
            self._revive()

    def retriable(self) -> list[Node]:
        """The nodes that can be retried. Failed items of a map that completed without them can't."""
        return [
            node
            for node in self.nodes.values()
            if node.outcome in ENDED
            and (node.items is None if node.is_map else node.state is not State.GONE)
            and (node.parent is None or self.nodes[node.parent].outcome is not Outcome.COMPLETED)
        ]

    def retry_from(self, name: str) -> None:
        """Run a node and everything downstream again, even if completed; if one of these can't, nothing changes."""
        if self.held(name):
            return
        below = self.below(name)
        for other in self.made_anew(below):
            del self.nodes[other]
        for other, is_whole in below.items():
            node = self.nodes[other]
            node.outcome, node.by_upstream = Outcome.CANCELLED, True
            if is_whole:
                node.items, node.result = None, None
                node.state = node.state if node.is_map else State.SUSPENDED
        self._revive()

    # --- what follows ------------------------------------------------------------------------------------------------

    def _return(self, name: str) -> None:
        node = self.nodes[name]
        if node.outcome in (*ENDED, Outcome.SKIPPED):
            node.state = State.CANCELLED
        elif node.outcome is None and self.is_stopped:
            node.state, node.outcome = State.CANCELLED, Outcome.CANCELLED
        elif node.outcome is None and self.pending(name):
            node.state = State.SUSPENDED

    def _advance(self, going: Iterable[str] = ()) -> None:
        """Apply all consequences: end nodes that can't run any more, expand and conclude maps, promote nodes."""
        while self._doom() or self._conclude() or self._expand():
            pass
        self._release(going)
        self._promote()

    def _doom(self) -> bool:
        """Cancel or skip the nodes that can't run any more, down to the last. If both apply, the node is cancelled."""
        doomed = True
        changed = False
        while doomed:
            doomed = False
            for node in self.nodes.values():
                how = self._fate(node)
                if how is not None:
                    doomed = changed = True
                    node.outcome, node.by_upstream = how, True
                    if node.state is State.SUSPENDED or node.state.is_queued:
                        node.state = State.CANCELLED
        return changed

    def _fate(self, node: Node) -> Outcome | None:
        """How a node must end because of its upstreams; None if it may run. For an expanded map, its items decide."""
        if node.outcome is not None or node.items is not None:
            return None
        fates: set[Outcome] = set()
        for upstream in node.upstreams:
            above = self.nodes[upstream]
            if above.outcome in (None, Outcome.COMPLETED):
                continue
            is_fatal = above.items is None if node.maps_over(upstream) else not node.ignores(above.outcome, upstream)
            if is_fatal:
                fates.add(above.outcome)
        if not fates:
            return None
        return Outcome.SKIPPED if fates == {Outcome.SKIPPED} else Outcome.CANCELLED

    def _conclude(self) -> bool:
        """Settle the maps whose children have all settled."""
        changed = False
        for name, node in self.nodes.items():
            if node.outcome is not None or node.items is None or self.pending(name):
                continue
            outcomes = [child.outcome for child in self.children(name).values()]
            good = sum(outcome in (Outcome.COMPLETED, Outcome.SKIPPED) for outcome in outcomes)
            over = self.nodes[node.root or name].over
            assert over is not None
            if good >= over.demanded(len(outcomes)):
                node.outcome = Outcome.COMPLETED
            else:
                node.outcome = Outcome.DISCARDED if Outcome.DISCARDED in outcomes else Outcome.CANCELLED
            changed = True
        return changed

    def _expand(self) -> bool:
        """Create the children of maps that wait for nothing any more."""
        ready = [
            name
            for name, node in self.nodes.items()
            if node.is_map and node.items is None and node.outcome is None and not self.pending(name)
        ]
        for name in ready:
            self._expand_one(name, self.nodes[name])
        return bool(ready)

    def _expand_one(self, name: str, node: Node) -> None:
        over = node.over
        assert over is not None
        entries = self.entries(over)
        if entries is None or len(entries) > over.most:
            node.outcome = Outcome.DISCARDED
            return
        node.items = len(entries)
        if not entries:
            node.outcome = Outcome.COMPLETED
        is_leaf = over.levels == 1
        for index, (sources, values) in enumerate(entries):
            child_name = f"{name[:-1]},{index}]" if node.parent else f"{name}[{index}]"
            optional = {
                source
                for source, outer in zip(sources, over.sources, strict=True)
                if source is not None and outer in node.optional
            }
            self.nodes[child_name] = Node(
                upstreams=tuple(sorted({source for source in sources if source is not None})),
                ignore_cancelled=node.ignore_cancelled,
                ignore_discarded=node.ignore_discarded,
                optional=frozenset(optional),
                state=State.SUSPENDED if is_leaf else State.GONE,
                over=None if is_leaf else replace(over, sources=sources, values=values, levels=over.levels - 1),
                parent=name,
                root=node.root or name,
                is_held=True if is_leaf and over.window is not None else None,
            )

    def entries(self, over: Over) -> list[tuple[tuple[str | None, ...], tuple[object, ...]]] | None:
        """The nodes and values that the parameters of each new child take; None if there is no collection."""
        collections: list[list[tuple[str | None, object]]] = []
        for source, value in zip(over.sources, over.values, strict=True):
            if source is not None and self.nodes[source].is_map:
                collections.append([(child, None) for child in self.children(source)])
                continue
            match value if source is None else self.nodes[source].result:
                case list() as items:
                    collections.append([(None, item) for item in items])
                case dict() as items:
                    collections.append([(None, [key, item]) for key, item in items.items()])
                case _:
                    return None
        if not over.is_product and len(set(map(len, collections))) > 1:
            return None
        combined = product(*collections) if over.is_product else zip(*collections, strict=True)
        return [(tuple(source for source, _ in each), tuple(value for _, value in each)) for each in combined]

    def _release(self, going: Iterable[str]) -> None:
        """Let items start while the window of their map has room: those in `going` first, the rest in order."""
        running: dict[str, int] = {}
        for node in self.nodes.values():
            if node.root is not None and node.is_held is False and node.outcome is None:
                running[node.root] = running.get(node.root, 0) + 1
        for name in [*(name for name in going if name in self.nodes), *self.nodes]:
            node = self.nodes[name]
            if node.is_held and node.root is not None and node.outcome is None and self.pending(name) == 1:
                over = self.nodes[node.root].over
                assert over is not None
                assert over.window is not None
                if running.get(node.root, 0) < over.window and not self.is_paused:
                    node.is_held = False
                    running[node.root] = running.get(node.root, 0) + 1

    def _promote(self) -> None:
        for name, node in self.nodes.items():
            if node.outcome is None and node.state is State.SUSPENDED and not self.pending(name):
                node.state = State.SCHEDULED if node.is_later else State.AVAILABLE

    def _revive(self, going: Iterable[str] = ()) -> None:
        """Undo cancellations whose cause runs again, and retries of nodes that still can't run."""
        self.is_stopped = False
        before = {name: (node.outcome, node.by_upstream, node.state) for name, node in self.nodes.items()}
        alive: set[str] = set()
        while True:  # a map may run again while a child of it may
            for name, node in self.nodes.items():
                node.outcome, node.by_upstream, node.state = before[name]
                if node.outcome in ENDED and not self._ended_by_itself(node, name in alive):
                    node.outcome, node.by_upstream = None, False
            self._doom()
            more = {
                node.parent
                for node in self.nodes.values()
                if node.parent is not None and node.outcome is None and self.nodes[node.parent].outcome in ENDED
            }
            if not more:
                break
            alive |= more
        for name, node in self.nodes.items():
            if before[name][0] in ENDED and node.outcome is None and node.is_held is not None:
                node.is_held = True
        for name, node in self.nodes.items():
            if node.by_upstream and (node.state is State.SUSPENDED or node.state.is_queued):
                node.state = State.CANCELLED
            if node.outcome is None and (node.state.is_final or (node.state.is_queued and self.pending(name))):
                node.state = State.SUSPENDED
        self._advance(going)

    def _ended_by_itself(self, node: Node, is_alive: bool) -> bool:
        if node.is_map:
            return not node.by_upstream and not is_alive
        return node.state is State.GONE or (node.state.is_final and not node.by_upstream)
