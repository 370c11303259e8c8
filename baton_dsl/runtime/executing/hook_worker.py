"""Run the hooks of a flow: functions that are called when a workflow ends.

Each call is a job. The SQL that ends a workflow (`baton_announce`) inserts the jobs in the same transaction.
"""

from __future__ import annotations

from collections.abc import Callable
from inspect import isawaitable, iscoroutinefunction
from types import FunctionType
from typing import Any, Final, cast

from oban import Cancel, Job, worker
from psycopg.rows import tuple_row
from pydantic import TypeAdapter

from baton_dsl.errors import StepNotFoundError
from baton_dsl.hooking import is_declared
from baton_dsl.runtime.database.pools import autocommit
from baton_dsl.runtime.executing import absent
from baton_dsl.runtime.executing.calling import Contained, in_thread
from baton_dsl.runtime.oban import bridge
from baton_dsl.runtime.sql.statements import statement
from baton_dsl.runtime.values import importing
from baton_dsl.runtime.values.names import HOOKS
from baton_dsl.status import WorkflowStatus

_status: Final = TypeAdapter(WorkflowStatus)


def worker_class(name: str) -> type:
    """The worker class for the jobs of a hook; for one whose code is missing, see `absent`."""
    try:
        hook = load_hook(name)
    except StepNotFoundError as error:
        return absent.worker_class(error)

    async def process(_self: object, job: Job) -> Cancel | None:
        with Contained(f'hook "{name}"'):
            return await run(hook, job)

    body = {"__module__": HOOKS.rstrip("."), "__qualname__": name, "process": process}
    return cast("type", worker()(type(name, (), body)))


def load_hook(name: str) -> Callable[[WorkflowStatus], Any]:
    """Import the function that the job of a hook names.

    Raises:
        StepNotFoundError: BTN501, if it can't be imported here, or no flow that is imported here has it as a hook.
    """
    found = importing.find(name, "hook")
    if not isinstance(found, FunctionType):
        raise StepNotFoundError(f'hook "{name}" is no function but {type(found).__name__}')
    if not is_declared(found):
        raise StepNotFoundError(
            f'no flow that was imported here has "{name}" as a hook',
            remedy="let the worker import the module of the flow that has the hook: baton worker MODULE",
        )
    return found


async def run(hook: Callable[[WorkflowStatus], Any], job: Job) -> Cancel | None:
    """Call a hook, unless it has been called already.

    Args:
        hook: The function, sync or async.
        job: Its job, whose args are the status of the workflow at its end.

    Raises:
        Exception: The exception of the function, which is not called again.
    """
    status = _status.validate_python(job.args)
    oban = bridge.instance_of(job)
    begin = statement("SELECT baton.baton_begin_hook(%s::int8, %s::int4)", bridge.prefix_of(oban))
    async with autocommit(bridge.pool_of(oban)) as conn:
        row = await (await conn.cursor(row_factory=tuple_row).execute(begin, [job.id, job.attempt])).fetchone()
    if row != (True,):
        return Cancel("another worker runs this job")
    job.max_attempts = job.attempt  # as in its row
    value = hook(status) if iscoroutinefunction(hook) else await in_thread(lambda: _call(hook, status, job), job)
    if isawaitable(value):
        await value
    return None


def _call(hook: Callable[[WorkflowStatus], Any], status: WorkflowStatus, job: Job) -> Any:
    with Contained(f'hook "{job.worker.removeprefix(HOOKS)}"'):
        return hook(status)
