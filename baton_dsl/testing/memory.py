"""One workflow in memory: the rows that the database would have, changed by the pure model of the life cycle."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, cast

from oban import Job

from baton_dsl.core import reasons
from baton_dsl.core.items import index_of, step_of
from baton_dsl.core.lifecycle import Node, Outcome, Over, State, Workflow
from baton_dsl.core.spec import StepSpec
from baton_dsl.flow import Flow
from baton_dsl.llm.reserving import RESERVE
from baton_dsl.runtime.executing.gate import Passage
from baton_dsl.runtime.lowering.edges import needed_upstreams, read_beside
from baton_dsl.runtime.lowering.lower import Lowered, LoweredMap, lower
from baton_dsl.runtime.values.names import MAX_CRASHES
from baton_dsl.testing.budgets import Budget
from baton_dsl.testing.clock import Clock
from baton_dsl.testing.passages import Entries, job_of, passage_of
from baton_dsl.testing.reasons import failing, refusal


@dataclass(slots=True)
class MemoryJob:
    """A row of `oban_jobs`.

    Attributes:
        id: Its id.
        template: What its step shares with others: worker, queue, attempts, priority, tags.
        args: Its args.
        due: The earliest time at which it may run, in seconds of the clock.
        attempt: The number of attempts so far.
        max_attempts: The number of attempts after which it is discarded.
        snoozed: How often it was snoozed.
        crashes: How often its process crashed since it was inserted or retried.
        errors: The errors, one entry for each attempt.
        attempted_at: When it was last started, in seconds of the clock.
    """

    id: int
    template: Mapping[str, Any]
    args: dict[str, Any]
    due: float
    max_attempts: int
    attempt: int = 0
    snoozed: int = 0
    crashes: int = 0
    errors: list[dict[str, Any]] = field(default_factory=list)
    attempted_at: float | None = None

    @property
    def place(self) -> tuple[int, float, int]:
        """Its place in its queue."""
        return self.template["priority"], self.due, self.id

    @property
    def reserve(self) -> Decimal | None:
        """What each attempt reserves of the budget; None if it may always start."""
        amount = self.template.get("meta", {}).get(RESERVE)
        return None if amount is None else Decimal(amount)

    @property
    def error(self) -> str | None:
        """The last error."""
        return self.errors[-1]["error"] if self.errors else None


class Memory:
    """The rows of one workflow. Every change goes through the model.

    Args:
        flow: The flow.
        lowered: The lowered flow with its inputs.
        clock: The clock.
    """

    def __init__(self, flow: Flow[..., Any], lowered: Lowered, clock: Clock) -> None:
        self.flow = flow
        self.lowered = lowered
        self.clock = clock
        self.inserted_at = clock.seconds
        self.settled_at: dict[str, float] = {}
        self.ended_at: float | None = None
        self.paused_at: float | None = None
        self.stopped_at: float | None = None
        graph = flow.checked().graph
        self.specs = graph.steps
        self.beside = {name: read_beside(graph, name) for name in graph.mapped}
        self.results: dict[str, str] = {}
        self.reasons: dict[str, str] = {}
        self.jobs: dict[str, MemoryJob] = {}
        self.budget = Budget(None if lowered.budget is None else Decimal(lowered.budget))
        self.templates = {name: lowered.templates[lowered.template[at]] for at, name in enumerate(lowered.names)}
        self.args = {name: json.loads(text) for name, text in zip(lowered.names, lowered.args, strict=True)}
        self.entries: dict[str, Entries] = {}
        maps = {lowered.names[it.position - 1]: it for it in lowered.maps}
        waits_for = graph.waits_for
        self.mapped_over = {
            source.source for name in maps for source in self.specs[name].parameters if source.each and source.source
        }
        nodes = {
            name: _node(self.specs[name], waits_for[name], self.templates[name], maps.get(name))
            for name in lowered.names
        }
        self.model = Workflow(nodes)
        for name, node in nodes.items():
            if not node.is_map:
                self._add_job(name)
        self._change(self.model.insert)

    def copy(self, clock: Clock) -> Memory:
        """Copy the workflow in its initial state, for another run."""
        fresh: Memory = object.__new__(type(self))
        fresh.__dict__.update(self.__dict__)
        fresh.clock = clock
        for name in ("settled_at", "results", "reasons", "jobs", "model", "entries", "budget"):
            setattr(fresh, name, deepcopy(getattr(self, name)))
        return fresh

    # --- events ------------------------------------------------------------------------------------------------------

    @property
    def outcome(self) -> Outcome | None:
        """How the workflow ended; None if it has not."""
        return self.model.outcome

    def available(self) -> list[str]:
        """The nodes whose jobs may start now, in the order in which their queues start them."""
        found = [name for name, node in self.model.nodes.items() if node.state is State.AVAILABLE]
        return sorted(found, key=lambda name: self.jobs[name].place)

    def waits_for_budget(self, name: str) -> bool:
        """Whether a job could start, if more were left of the budget."""
        amount = self.jobs[name].reserve if name in self.jobs else None
        if amount is None or self.model.nodes[name].state is not State.AVAILABLE:
            return False
        return not self.budget.is_enough_for(amount, self.running())

    def running(self) -> dict[int, int]:
        """The attempts that run, by the ids of their jobs."""
        return {self.jobs[name].id: self.jobs[name].attempt for name in self.executing()}

    def next_due(self) -> float | None:
        """When the next scheduled job is due; None if there is none."""
        waiting = [
            self.jobs[name].due
            for name, node in self.model.nodes.items()
            if node.state in (State.SCHEDULED, State.RETRYABLE)
        ]
        return min(waiting, default=None)

    def stage(self) -> None:
        """Make the jobs that are due available."""
        due = {
            name: State.AVAILABLE
            for name, node in self.model.nodes.items()
            if node.state in (State.SCHEDULED, State.RETRYABLE) and self.jobs[name].due <= self.clock.seconds
        }
        if due:
            for name in due:
                self.model.nodes[name].is_later = False
            self._change(lambda: self.model.change(due))

    def start(self, name: str) -> tuple[Job, Passage]:
        """Start a job: return it as its worker gets it, and its node as the gate reads it."""
        row = self.jobs[name]
        row.attempt += 1
        row.attempted_at = self.clock.seconds
        if row.reserve is not None:
            self.budget.reserve(row.id, row.attempt, row.reserve)
        self._change(lambda: self.model.change({name: State.EXECUTING}))
        return job_of(self, name), passage_of(self, name)

    def complete(self, name: str, result: str) -> None:
        """Store the result of a function."""
        if self.model.nodes[name].outcome is None:
            self.results[name] = result
        value = json.loads(result) if step_of(name) in self.mapped_over else None
        self._change(lambda: self.model.settle([name], result=value))
        self._end_with_its_node(name)

    def skip(self, name: str, reason: str) -> None:
        """Skip a step whose function returned `Skip`."""
        if self.model.nodes[name].outcome is None:
            self.reasons[name] = reason
        self._change(lambda: self.model.settle([name], skips=True))
        self._end_with_its_node(name)

    def _end_with_its_node(self, name: str) -> None:
        if self.model.nodes[name].state is State.CANCELLED:
            self._note(name, reasons.BEFORE_IT_RETURNED)

    def fail(self, name: str, error: str, pause: float | None) -> None:
        """Let an attempt fail.

        Args:
            name: The node.
            error: The error.
            pause: Seconds until the next attempt; None if there is none left.
        """
        self._note(name, error)
        if pause is None:
            self._change(lambda: self.model.change({name: State.DISCARDED}))
            return
        self._later(name, pause)
        self._change(lambda: self.model.change({name: State.RETRYABLE}))
        if self.model.nodes[name].state is State.CANCELLED:
            self._note(name, reasons.WITH_ITS_WORKFLOW)

    def snooze(self, name: str, pause: float) -> None:
        """Let a step run again later, without counting the attempt."""
        row = self.jobs[name]
        row.attempt -= 1
        row.snoozed += 1
        self._later(name, pause)
        self._change(lambda: self.model.change({name: State.SCHEDULED}))

    def cancel(self, name: str, reason: str) -> None:
        """Cancel a step that has ended itself as cancelled."""
        self._note(name, reason)
        self._change(lambda: self.model.change({name: State.CANCELLED}))

    def crash(self, name: str) -> None:
        """Let the process of a job crash: other processes return the job to its queue."""
        row = self.jobs[name]
        row.crashes += 1
        most = row.template.get("meta", {}).get(MAX_CRASHES, row.max_attempts - row.crashes + 1)
        is_last = row.crashes >= most
        said = f", which is crash {row.crashes} of at most {most}" if is_last else ""
        self._note(name, f"BTN508: the process that ran this attempt is gone{said}")
        row.max_attempts += not is_last
        state = State.DISCARDED if is_last else State.AVAILABLE
        self._change(lambda: self.model.change({name: state}))

    def _later(self, name: str, pause: float) -> None:
        self.jobs[name].due = self.clock.seconds + pause
        self.model.nodes[name].is_later = pause > 0

    # --- actions of operators
    # -------------------------------------------------------------------------------------------

    def executing(self) -> list[str]:
        """The nodes whose jobs run."""
        return [name for name, node in self.model.nodes.items() if node.state is State.EXECUTING]

    def stop(self) -> bool:
        """Cancel the workflow; False if it has ended already."""
        if self.outcome is not None:
            return False
        self.stopped_at = self.clock.seconds
        before = {name for name, node in self.model.nodes.items() if node.outcome is None and not node.is_map}
        self._change(self.model.stop)
        for name in before:
            node = self.model.nodes[name]
            if node.state is State.CANCELLED and node.outcome is Outcome.CANCELLED:
                self._note(name, reasons.WITH_ITS_WORKFLOW)
        return True

    def pause(self) -> bool:
        """Pause the workflow; False if it is paused already, or has ended."""
        if self.outcome is not None or self.model.is_paused:
            return False
        self.paused_at = self.clock.seconds
        self._change(self.model.pause)
        return True

    def resume(self) -> bool:
        """Resume the workflow; False if it is not paused."""
        if not self.model.is_paused:
            return False
        self.paused_at = None
        self._change(self.model.resume)
        return True

    def retry(self, attempts: int | None = None) -> bool:
        """Run failed steps again; False if there is none."""
        retriable = {id(node) for node in self.model.retriable()}
        if not retriable:
            return False
        self._rearm(name for name, node in self.model.nodes.items() if id(node) in retriable and node.state.is_final)
        self.stopped_at = None
        before = [name for name, node in self.model.nodes.items() if node.outcome in ("cancelled", "discarded")]
        self._change(self.model.retry)
        self._give(before, attempts)
        return True

    def held(self, name: str) -> set[str]:
        """The nodes that prevent a retry from a step."""
        return self.model.held(name)

    def retry_from(self, name: str, attempts: int | None = None) -> bool:
        """Run a step and everything downstream again; False if one of them runs."""
        if self.model.held(name):
            return False
        below = self.model.below(name)
        self._rearm(other for other in below if not self.model.nodes[other].is_map)
        self.stopped_at = None
        self._change(lambda: self.model.retry_from(name))
        for gone in [other for other in self.jobs if other not in self.model.nodes]:
            del self.jobs[gone]
        self._give(below, attempts)
        return True

    def _give(self, names: Iterable[str], attempts: int | None) -> None:
        """Give more attempts to steps that run again after earlier attempts."""
        if attempts is None:
            return
        for name in names:
            row = self.jobs.get(name)
            if row is not None and row.attempt and self.model.nodes[name].outcome is None:
                row.max_attempts = row.attempt + attempts

    def _rearm(self, names: Iterable[str]) -> None:
        for name in names:
            row = self.jobs[name]
            row.max_attempts = max(row.max_attempts, row.attempt + 1)
            row.crashes = 0
            if row.attempt:
                row.due = min(row.due, self.clock.seconds)
                self.model.nodes[name].is_later = False

    # --- consequences ------------------------------------------------------------------------------------------------

    def _change(self, happen: Callable[[], None]) -> None:
        """Apply a change to the model, and update the rows accordingly."""
        before = {name: (node.outcome, node.items) for name, node in self.model.nodes.items()}
        had_ended = self.outcome is not None
        happen()
        ended: list[str] = []
        for name, node in list(self.model.nodes.items()):
            was, items = before.get(name, (None, None))
            if name not in before and not node.is_map:
                self._add_job(name)
            if node.items is None and items is not None:
                self.entries.pop(name, None)
            if node.outcome is was and name in before:
                continue
            if node.outcome is None:
                self.settled_at.pop(name, None)
                self.reasons.pop(name, None)
                self.results.pop(name, None)
                row = self.jobs.get(name)
                if row is not None and name in before:
                    row.max_attempts = max(row.max_attempts, row.attempt + 1)
            else:
                self.settled_at[name] = self.clock.seconds
                ended.append(name)
        self._say_why(ended)
        for gone in before.keys() - self.model.nodes.keys():
            self._forget(gone)
        if self.outcome is None:
            self.ended_at = None
        elif not had_ended:
            self.ended_at = self.clock.seconds

    def _forget(self, name: str) -> None:
        for kept in (self.settled_at, self.results, self.reasons, self.jobs, self.entries):
            kept.pop(name, None)

    def _say_why(self, ended: Sequence[str]) -> None:
        """Store why nodes have ended that did not end by themselves."""
        nodes = {name: self.model.nodes[name] for name in ended}
        origins = {node.outcome for node in nodes.values() if not node.by_upstream}
        worst = Outcome.DISCARDED if Outcome.DISCARDED in origins else Outcome.CANCELLED
        for name, node in nodes.items():
            if node.by_upstream and node.outcome is Outcome.SKIPPED:
                self._note(name, reasons.SKIPPED)
            elif node.by_upstream and node.outcome is Outcome.CANCELLED:
                self._note(name, reasons.WITH_AN_UPSTREAM + worst)
            elif node.is_map and node.items is not None and node.outcome is not Outcome.COMPLETED:
                self.reasons[name] = failing(self, name)
            elif node.is_map and node.outcome is Outcome.DISCARDED:
                self.reasons[name] = refusal(self, name, node)

    def _note(self, name: str, error: str) -> None:
        row = self.jobs.get(name)
        if row is not None:
            at = self.clock.now().isoformat()
            row.errors.append({"attempt": row.attempt, "at": at, "error": error})

    def _add_job(self, name: str) -> None:
        """Add the row of a new job, of a step or of an item."""
        template = self.templates[step_of(name)]
        moment = template["scheduled_at"]
        due = self.inserted_at
        if moment is not None:
            due = self.clock.since_origin(datetime.fromisoformat(moment).replace(tzinfo=UTC))
        is_item = index_of(name) is not None
        args = {} if is_item else self.args[name]
        self.jobs[name] = MemoryJob(len(self.jobs) + 1, template, args, due, template["max_attempts"])
        node = self.model.nodes[name]
        node.is_later = due > self.clock.seconds
        if node.is_later and node.state is State.AVAILABLE:
            node.state = State.SCHEDULED

    def models_of(self, name: str) -> list[str] | None:
        """The models of a step of several models, in order; None for other steps."""
        over = self.model.nodes[name].over
        assert over is not None
        return cast("list[str]", over.values[0]) if self.specs[step_of(name)].is_per_model else None

    def error(self, name: str) -> str | None:
        """Why a node last failed, or was cancelled or skipped."""
        row = self.jobs.get(name)
        return self.reasons.get(name) or (row.error if row is not None else None)


def insert(flow: Flow[..., Any], inputs: Mapping[str, Any], clock: Clock) -> Memory:
    """Create a workflow of a flow, in memory.

    Raises:
        FlowError, InputError: As for `Flow.insert`.
    """
    return Memory(flow, lower(flow, inputs, moment=clock.now()), clock)


def _node(spec: StepSpec, upstreams: tuple[str, ...], template: Mapping[str, Any], made_map: LoweredMap | None) -> Node:
    needed = needed_upstreams(spec)
    node = Node(
        upstreams=upstreams,
        ignore_cancelled=template["ignore_cancelled"],
        ignore_discarded=template["ignore_discarded"],
        optional=frozenset(name for name in upstreams if name not in needed),
    )
    if made_map is not None:
        rules = made_map.facts["rules"]
        over = [it for it in spec.parameters if it.each]
        sources = tuple(it.source if it.is_upstream else None for it in over)
        node.state = State.GONE
        node.over = Over(
            sources=sources or (None,),  # a step of several models maps over their names
            values=tuple(json.loads(made_map.items)),
            levels=made_map.facts["levels"],
            is_product=rules.get("combine") == "product",
            most=rules["max_items"],
            window=rules.get("max_concurrency"),
            least=rules.get("least"),
            share=rules.get("share"),
        )
    return node
