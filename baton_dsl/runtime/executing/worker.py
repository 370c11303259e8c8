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
"""Errors that another attempt would only repeat: the job is discarded."""


# --- the class that Oban needs --------------------------------------------------------------------------------------


def worker_class(path: str) -> type:
    """The worker class for the jobs of a step; for one whose code is missing, see `absent`."""
    try:
        return worker_of(load_step(path), path)
    except StepNotFoundError as error:
        return absent.worker_class(error)


def worker_of(step: Step[..., Any, Any, Any], path: str) -> type:
    """The worker class of a step's jobs. Its methods say how long an attempt may take, and when the next one starts."""
    body: dict[str, Any] = {"__module__": WORKERS.rstrip("."), "__qualname__": path, "process": _process(step)}
    if "timeout" in step.options:
        body["timeout"] = lambda _self, _job: seconds_of(step.options["timeout"])
    if "backoff" in step.options:
        body["backoff"] = lambda _self, job: backoff_of(step.options["backoff"], job)
    return cast("type", worker()(type(path, (), body)))


def _process(step: Step[..., Any, Any, Any]) -> Callable[[Any, Job], Any]:
    async def process(_self: object, job: Job) -> Cancel | Snooze | None:
        with Contained(f'step "{step.name}"'):  # also around failures outside of the function
            if around.observers:
                return cast("Cancel | Snooze | None", await runtime_of(job).watching.run(job, partial(run, step, job)))
            return await run(step, job)

    return process


# --- running it --------------------------------------------------------------------------------------------------


class Runtime:
    """What the jobs of one Oban instance share: the gate, the settler, and more.

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
        """Runs steps that take a connection. Created for the first one, because it loads SQLAlchemy."""
        made: Effects = import_module("baton_dsl.runtime.executing.effects").Effects(*self._of)
        return made

    @cached_property
    def watching(self) -> around.Watching:
        """Runs attempts with metrics and traces. Created for the first step that has them."""
        return around.Watching(*self._writes)

    @cached_property
    def budgets(self) -> Budgets:
        """Reserves amounts of budgets. Created for the first step of a workflow with a budget."""
        return Budgets(*self._writes)

    @cached_property
    def writer(self) -> DatabaseWriter:
        """Writes the journals of steps. Created for the first step that takes a context."""
        return DatabaseWriter(*self._writes)


_runtimes: WeakKeyDictionary[Oban, Runtime] = WeakKeyDictionary()

accompany_instances()  # instances that start later; `Runtime` handles those that run already


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
        job: The executing job.

    Returns:
        None if the node has settled; Oban's `Cancel` or `Snooze` if the function returned one.

    Raises:
        Exception: The exception of the function. Oban retries or discards the job; if it discards it, the trigger
            settles the node.
    """
    job.extra.setdefault(SINCE, time.monotonic())
    try:
        return await _run(runtime_of(job), step, job)
    except FINAL:
        job.max_attempts = job.attempt  # Oban discards a job without attempts left
        raise


async def _run(runtime: Runtime, step: Step[..., Any, Any, Any], job: Job) -> Cancel | Snooze | None:
    assert job.id is not None
    try:
        passage = foreknown(runtime.oban, job) or await runtime.gate.submit(job.id)
    except psycopg.errors.ProgramLimitExceeded as error:
        raise FanInTooLargeError(
            f"PostgreSQL can't return the results that job {job.id} takes: {described(error)}"
        ) from error
    if passage is None:
        raise NodeMissingError(f"job {job.id} has no row in workflow_nodes")
    if passage.outcome in ("completed", "skipped"):
        return None  # an earlier attempt stored the result, but died before its job was completed
    if passage.outcome is not None or passage.is_stopped or passage.pending > 0:
        # A cancelled one was being fetched at that moment, so nobody could ask it to stop.
        await runtime.park.submit(job)
        return None
    if not may_bear_no_more(job):
        return await _call(runtime, step, job, passage)
    if not runtime.apart.enter():
        logger.info("the process of %s has died before; it runs when another such step has ended", name_of(job))
        return Snooze(pause())
    try:
        return await _call(runtime, step, job, passage)
    finally:
        runtime.apart.leave()


async def _call(runtime: Runtime, step: Step[..., Any, Any, Any], job: Job, passage: Passage) -> Cancel | Snooze | None:
    """Call the function, and settle the node."""
    if RESERVE in job.meta and not await runtime.budgets.admits(job):
        await runtime.park.submit(job)  # too little is left of the budget: it waits, without using an attempt
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
"""The classes of SQLSTATE for a faulty value: PostgreSQL does not accept it as JSON, or it is nested too deeply."""


def finished_of(
    step: Step[..., Any, Any, Any], job: Job, passage: Passage, value: Any, *, journal: Journal | None = None
) -> Finished | Cancel | Snooze:
    """Convert what the function returned to what will be settled, or to Oban's `Cancel` or `Snooze`."""
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
    """Call a function, and wait until what it recorded is written, because its node settles next."""
    value = await calling
    if journal is not None:
        await journal.close()
    return value


def _return_annotation(step: Step[..., Any, Any, Any]) -> Any:
    return signature(step).returns


def journal_of(
    step: Step[..., Any, Any, Any], job: Job, passage: Passage, writer: Callable[[], Writer]
) -> Journal | None:
    """The journal of an attempt; None for a step that takes no context and so records nothing.

    Args:
        step: The step.
        job: Oban's job.
        passage: What the gate knows about its node.
        writer: Returns what writes to the database.
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
    """The arguments of a step's function, by name, without a connection.

    Args:
        step: The step.
        job: Oban's job.
        passage: What the gate knows about its node.
        journal: Where its context records; see `journal_of`.

    Raises:
        StoredValueError: BTN504, if a stored value does not validate, or is missing.
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
                pass  # the code that runs the step passes the connection
    return arguments


def _item(passage: Passage, parameter: ParameterSpec, annotation: Any) -> Any:
    """The value of a mapped parameter: an item of a collection, or the result of the upstream's item."""
    name = parameter.name
    item = passage.items.get(name)
    if item is None:
        raise StoredValueError(f'step "{passage.step}" maps over "{name}", which it did not when it was inserted')
    if isinstance(item, Upstream):
        return _decoded(passage, name, item, annotation)
    return payload.decode_result(passage.node, name, parameter.source or name, annotation, item, is_item=True)


def _decoded(passage: Passage, parameter: str, upstream: Upstream, annotation: Any) -> Any:
    """Decode the result of an upstream for an annotation; None for an absent upstream without a result."""
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
    """The model of a step; for an item of a step of several models, the item's own."""
    item = passage.items.get(MODEL)
    return json.loads(item) if isinstance(item, str) else args.get(MODEL)


@dataclass(frozen=True, slots=True)
class Upstreams(Mapping[str, Any]):
    """The results of a node's upstreams by name, each decoded on access."""

    passage: Passage

    def __getitem__(self, name: str) -> Any:
        """The result of an upstream, decoded by its own return annotation.

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
        """Iterate over the names of the upstreams."""
        return iter(self.passage.upstreams)

    def __len__(self) -> int:
        """The number of upstreams."""
        return len(self.passage.upstreams)
