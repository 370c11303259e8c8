"""Run one step as an Oban job: gate, function, settle."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property, partial
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final, cast
from weakref import WeakKeyDictionary

import psycopg
from oban import Cancel, Job, Oban, Snooze, worker

from baton_dsl.context import Skip, StepContext
from baton_dsl.core.diagnostics import did_you_mean
from baton_dsl.core.items import index_of
from baton_dsl.core.spec import ParameterSpec, Role
from baton_dsl.core.wording import shortened, suggestion
from baton_dsl.errors import (
    FanInTooLargeError,
    NodeMissingError,
    ResultNotSerializableError,
    ResultTooLargeError,
    StepNotFoundError,
    StoredValueError,
    TransactionEndedError,
    UpstreamAbsentError,
)
from baton_dsl.llm.reserving import RESERVE
from baton_dsl.reflect import signature
from baton_dsl.runtime.database.coalesce import Coalescer
from baton_dsl.runtime.executing import absent, around
from baton_dsl.runtime.executing.calling import Contained, call, call_here, ending
from baton_dsl.runtime.executing.crashes import Apart, may_bear_no_more, pause
from baton_dsl.runtime.executing.gate import Gate, Passage, Upstream
from baton_dsl.runtime.executing.pauses import backoff_of, seconds_of
from baton_dsl.runtime.executing.settle import SINCE, Finished, Settler, foreknown
from baton_dsl.runtime.lowering.lower import MODEL
from baton_dsl.runtime.oban import bridge
from baton_dsl.runtime.oban.companions import accompany, accompany_instances
from baton_dsl.runtime.oban.jobs import SKIPPED, name_of
from baton_dsl.runtime.usage.budgets import Budgets
from baton_dsl.runtime.usage.entries import Place
from baton_dsl.runtime.usage.journal import Journal, Writer
from baton_dsl.runtime.usage.writing import DatabaseWriter
from baton_dsl.runtime.values import payload
from baton_dsl.runtime.values.collected import collected, whole_of
from baton_dsl.runtime.values.limits import fan_in_limit
from baton_dsl.runtime.values.names import WORKERS, load_step, step_of_worker
from baton_dsl.runtime.values.raised import described
from baton_dsl.step import Step

if TYPE_CHECKING:
    from baton_dsl.runtime.executing.effects import Effects

logger = logging.getLogger("baton_dsl.step")

FINAL: Final = (
    FanInTooLargeError,
    ResultNotSerializableError,
    ResultTooLargeError,
    StoredValueError,
    TransactionEndedError,
)
"""Errors that another attempt would only repeat."""


# --- the class that Oban wants --------------------------------------------------------------------------------------


def worker_class(path: str) -> type:
    """The class that Oban instantiates for each job of a step; see `absent` for one that is not here."""
    try:
        return worker_of(load_step(path), path)
    except StepNotFoundError as error:
        return absent.worker_class(error)


def worker_of(step: Step[..., Any, Any, Any], path: str) -> type:
    """The class of a step's jobs: how long an attempt may take, and when the next one comes, are methods of it."""
    body: dict[str, Any] = {"__module__": WORKERS.rstrip("."), "__qualname__": path, "process": _process(step)}
    if "timeout" in step.options:
        body["timeout"] = lambda _self, _job: seconds_of(step.options["timeout"])
    if "backoff" in step.options:
        body["backoff"] = lambda _self, job: backoff_of(step.options["backoff"], job)
    return cast("type", worker()(type(path, (), body)))


def _process(step: Step[..., Any, Any, Any]) -> Callable[[Any, Job], Any]:
    async def process(_self: object, job: Job) -> Cancel | Snooze | None:
        with Contained(f'step "{step.name}"'):  # what fails beside the function too
            if around.observers:
                return cast("Cancel | Snooze | None", await runtime_of(job).watching.run(job, partial(run, step, job)))
            return await run(step, job)

    return process


# --- running it --------------------------------------------------------------------------------------------------


class Runtime:
    """What the jobs of one Oban instance share: its gate and its settler.

    Args:
        oban: The instance.
    """

    def __init__(self, oban: Oban) -> None:
        pool, prefix = bridge.pool_of(oban), bridge.prefix_of(oban)
        settler = Settler(oban)
        gate = Gate(pool, prefix)
        context = bridge.started_in(oban)
        self.gate: Coalescer[int, Passage | None] = Coalescer("gate", gate.read, context)
        self.settle: Coalescer[Finished, bool] = Coalescer(
            "settle", settler.settle, context, keeps=True, rest=settler.rest
        )
        self.park: Coalescer[Job, None] = Coalescer("park", settler.park, context)
        self.oban = oban
        self._of = (oban, settler)
        self._writes = (pool, prefix, context)
        self.apart = Apart()
        accompany(oban)

    @cached_property
    def effects(self) -> Effects:
        """What runs steps that take a connection. Made when there is one: it loads SQLAlchemy."""
        made: Effects = import_module("baton_dsl.runtime.executing.effects").Effects(*self._of)
        return made

    @cached_property
    def watching(self) -> around.Watching:
        """What metrics and traces need to know. Made for the first step that they are on for."""
        return around.Watching(*self._writes)

    @cached_property
    def budgets(self) -> Budgets:
        """What attempts reserve in. Made for the first step of a workflow with a budget."""
        return Budgets(*self._writes)

    @cached_property
    def writer(self) -> DatabaseWriter:
        """Where the journals of steps write. Made for the first step that takes a context."""
        return DatabaseWriter(*self._writes)


_runtimes: WeakKeyDictionary[Oban, Runtime] = WeakKeyDictionary()

accompany_instances()  # those of a process that loads steps before it starts; `Runtime` sees to the others


def runtime_of(job: Job) -> Runtime:
    """The runtime of the Oban instance that fetched a job."""
    oban = bridge.instance_of(job)
    runtime = _runtimes.get(oban)
    if runtime is None:
        runtime = _runtimes[oban] = Runtime(oban)
    return runtime


async def run(step: Step[..., Any, Any, Any], job: Job) -> Cancel | Snooze | None:
    """Run one attempt of one node.

    Args:
        step: Its step.
        job: Oban's job, executing.

    Returns:
        None once the node is settled; what the function returned if that is Oban's `Cancel` or `Snooze`.

    Raises:
        Exception: What the function raised: Oban tries again, or discards the job, and the trigger the node with it.
    """
    job.extra.setdefault(SINCE, time.monotonic())
    try:
        return await _run(runtime_of(job), step, job)
    except FINAL:
        job.max_attempts = job.attempt  # Oban discards a job that has no attempt left
        raise


async def _run(runtime: Runtime, step: Step[..., Any, Any, Any], job: Job) -> Cancel | Snooze | None:
    assert job.id is not None
    try:
        passage = foreknown(runtime.oban, job) or await runtime.gate.submit(job.id)
    except psycopg.errors.ProgramLimitExceeded as error:
        raise FanInTooLargeError(f"PostgreSQL can't hand on what job {job.id} takes: {described(error)}") from error
    if passage is None:
        raise NodeMissingError(f"job {job.id} has no row in workflow_nodes")
    if passage.outcome in ("completed", "skipped"):
        return None  # an attempt before this one stored the result and did not live to see its job completed
    if passage.outcome is not None or passage.is_stopped or passage.pending > 0:
        await runtime.park.submit(job)  # a cancelled one was fetched at that moment, so nobody could ask it to stop
        return None
    if not may_bear_no_more(job):
        return await _call(runtime, step, job, passage)
    if not runtime.apart.enter():
        logger.info("%s has seen its process die before; it runs when another such step has ended", name_of(job))
        return Snooze(pause())
    try:
        return await _call(runtime, step, job, passage)
    finally:
        runtime.apart.leave()


async def _call(runtime: Runtime, step: Step[..., Any, Any, Any], job: Job, passage: Passage) -> Cancel | Snooze | None:
    """Call the function, and settle the node."""
    if RESERVE in job.meta and not await runtime.budgets.admits(job):
        await runtime.park.submit(job)  # too little is left of the budget: it waits, and has not been attempted
        return None
    journal = journal_of(step, job, passage, lambda: runtime.writer)
    arguments = arguments_of(step, job, passage, journal)
    taken = next((parameter for parameter in signature(step).parameters if parameter.access is not None), None)
    finish = partial(finished_of, step, job, passage, journal=journal)
    try:
        if taken is not None:
            return await _run_with_connection(runtime, step, job, arguments, taken, finish, journal)
        finished = finish(await call(step, job, arguments))
    finally:
        if journal is not None:
            await journal.close()
    if not isinstance(finished, Finished):
        return finished
    try:
        await runtime.settle.submit(finished)
    except psycopg.Error as error:
        if (error.sqlstate or "")[:2] not in _REFUSED:
            raise
        raise ResultNotSerializableError(
            f'PostgreSQL does not store what step "{passage.node}" returned: {described(error)}'
        ) from error
    return None


_REFUSED: Final = ("22", "54")
"""The classes of SQLSTATE that say that a value is to blame: it is no JSON to PostgreSQL, or nested too deeply."""


def finished_of(
    step: Step[..., Any, Any, Any], job: Job, passage: Passage, value: Any, *, journal: Journal | None = None
) -> Finished | Cancel | Snooze:
    """What follows from what the function returned."""
    if isinstance(value, Cancel | Snooze):
        return ending(value)
    forgets = RESERVE in job.meta or (journal is not None and journal.has_checkpoints)
    if isinstance(value, Skip):
        job.extra[SKIPPED] = True
        return Finished(job, None, shortened(value.reason), forgets=forgets)
    return Finished(job, payload.encode_result(passage.node, _return_annotation(step), value), forgets=forgets)


async def _run_with_connection(
    runtime: Runtime,
    step: Step[..., Any, Any, Any],
    job: Job,
    arguments: dict[str, Any],
    taken: ParameterSpec,
    finish: Callable[[Any], Finished | Cancel | Snooze],
    journal: Journal | None,
) -> Cancel | Snooze | None:
    """Run a step that takes a connection, in the transaction that settles its node."""
    loop = asyncio.get_running_loop()

    def with_connection(connection: Any) -> Any:
        given = {**arguments, taken.name: connection}
        if step.is_async:
            return _written(journal, call(step, job, given))
        value = call_here(step, given, loop)
        if journal is not None:
            asyncio.run_coroutine_threadsafe(journal.close(), loop).result()
        return value

    return await runtime.effects.run(
        job,
        annotation=signature(step).annotations[taken.name],
        is_async=step.is_async,
        function=with_connection,
        finish=finish,
    )


async def _written[T](journal: Journal | None, calling: Awaitable[T]) -> T:
    """Call a function, and wait until what it recorded is written: its node settles next."""
    value = await calling
    if journal is not None:
        await journal.close()
    return value


def _return_annotation(step: Step[..., Any, Any, Any]) -> Any:
    return signature(step).returns


def journal_of(
    step: Step[..., Any, Any, Any], job: Job, passage: Passage, writer: Callable[[], Writer]
) -> Journal | None:
    """The journal of one attempt; None for a step that takes no context, and so records nothing.

    Args:
        step: The step.
        job: Oban's job.
        passage: Its node.
        writer: Gives where it writes.
    """
    if not any(it.role is Role.INJECTED and it.access is None for it in signature(step).parameters):
        return None
    assert job.id is not None
    place = Place(passage.workflow_id, passage.node, job.id, job.attempt)
    is_first = job.attempt == 1 and not job.meta.get("rescued") and not job.meta.get("snoozed")
    return Journal(writer(), place, model=_model(_args_of(job, passage), passage), has_checkpoints=not is_first)


def _args_of(job: Job, passage: Passage) -> Mapping[str, Any]:
    return job.args if passage.args is None else passage.args


def arguments_of(step: Step[..., Any, Any, Any], job: Job, passage: Passage, journal: Journal | None) -> dict[str, Any]:
    """What a step's function is called with, by name; a connection is left to whoever has one.

    Args:
        step: The step.
        job: Oban's job.
        passage: Its node.
        journal: What its context records in; see `journal_of`.

    Raises:
        StoredValueError: BTN504, if a stored value does not validate, or is not there.
    """
    read = signature(step)
    args = _args_of(job, passage)
    arguments: dict[str, Any] = {}
    for parameter in read.parameters:
        name = parameter.name
        match parameter.role:
            case Role.INPUT | Role.UPSTREAM if parameter.each:
                arguments[name] = _item(passage, parameter, read.annotations[name])
            case Role.INPUT:
                if name in args:
                    arguments[name] = payload.decode_input(passage.node, name, read.annotations[name], args[name])
                elif not parameter.has_default:
                    raise StoredValueError(
                        f'input "{name}" of step "{passage.node}" was not given when it was inserted'
                    )
            case Role.UPSTREAM:
                source = parameter.source or name
                upstream = passage.upstreams.get(source)
                if upstream is None:
                    raise StoredValueError(f'step "{passage.node}" takes "{source}", which was no upstream at insert')
                arguments[name] = _decoded(passage, name, upstream, read.annotations[name])
            case Role.INJECTED if parameter.access is None:
                assert journal is not None
                arguments[name] = _context(job, passage, journal)
            case Role.INJECTED | Role.UNKNOWN:
                pass  # a connection is given by what runs the step
    return arguments


def _item(passage: Passage, parameter: ParameterSpec, annotation: Any) -> Any:
    """What a mapped parameter takes: an item of a collection, or the result of the node that it follows."""
    name = parameter.name
    item = passage.items.get(name)
    if item is None:
        raise StoredValueError(f'step "{passage.step}" maps over "{name}", which it did not when it was inserted')
    if isinstance(item, Upstream):
        return _decoded(passage, name, item, annotation)
    return payload.decode_result(passage.node, name, parameter.source or name, annotation, item, is_item=True)


def _decoded(passage: Passage, parameter: str, upstream: Upstream, annotation: Any) -> Any:
    """The result of an upstream as an annotation has it; None where an absent one has none."""
    text = upstream.result
    if upstream.size is not None and upstream.size > (limit := fan_in_limit()):
        raise FanInTooLargeError(
            f'step "{passage.node}" takes all results of "{upstream.step}", which are {upstream.size:,} bytes of JSON '
            f"together, the limit is {limit:,}"
        )
    if upstream.is_map:
        text = collected(annotation, text, upstream.absent)
    elif upstream.outcome == "completed" and text is None:
        text = "null"  # a plain Oban job has no result
    return payload.decode_result(passage.node, parameter, upstream.step, annotation, text)


def _context(job: Job, passage: Passage, journal: Journal) -> StepContext:
    extra = {"workflow_id": passage.workflow_id, "step": passage.node, "attempt": job.attempt}
    return StepContext(
        workflow_id=passage.workflow_id,
        workflow_name=job.meta.get("workflow_label"),
        step=passage.step,
        index=index_of(passage.node),
        attempt=job.attempt,
        max_attempts=job.max_attempts,
        model=_model(_args_of(job, passage), passage),
        debug=bool(job.meta.get("workflow_debug")),
        upstream=Upstreams(passage),
        job=job,
        logger=logging.LoggerAdapter(logger, extra),
        cancel_requested=job.cancelled,
        journal=journal,
    )


def _model(args: Mapping[str, Any], passage: Passage) -> str | None:
    """The model of a step; of an item of a step of several models, its own."""
    item = passage.items.get(MODEL)
    return json.loads(item) if isinstance(item, str) else args.get(MODEL)


@dataclass(frozen=True, slots=True)
class Upstreams(Mapping[str, Any]):
    """The results of a node's upstreams by name, each decoded when it is asked for."""

    passage: Passage

    def __getitem__(self, name: str) -> Any:
        """The result of an upstream, as its own return annotation has it.

        Raises:
            UpstreamAbsentError: BTN505, if there is no such upstream.
        """
        upstream = self.passage.upstreams.get(name)
        if upstream is None:
            nearest = did_you_mean(name, self.passage.upstreams)
            raise UpstreamAbsentError(
                f'step "{self.passage.step}" has no upstream "{name}"',
                remedy=suggestion(nearest) or "name it in deps=",
            )
        step = step_of_worker(upstream.worker)
        annotation = _return_annotation(step) if step is not None else Any
        if upstream.is_map:
            annotation = whole_of(annotation, upstream.result, signature(step).levels if step is not None else 0)
        return _decoded(self.passage, "context", upstream, annotation)

    def __iter__(self) -> Iterator[str]:
        """The names."""
        return iter(self.passage.upstreams)

    def __len__(self) -> int:
        """How many there are."""
        return len(self.passage.upstreams)
