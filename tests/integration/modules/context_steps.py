"""Steps and hooks of every kind that record the context they start in, and change it."""

from __future__ import annotations

import logging
from contextvars import ContextVar
from typing import Any

import psycopg
from oban import Job, Oban, current_job, worker
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Session

from baton_dsl import Each, StepContext, WorkflowStatus, step

TENANT: ContextVar[str] = ContextVar("tenant", default="nobody")
SEEN: list[tuple[str, str]] = []
"""What each attempt saw as it started: its name, and the tenant."""
logger = logging.getLogger(__name__)


def look(what: str) -> None:
    SEEN.append((what, TENANT.get()))
    TENANT.set(f"of {what}")


@step
async def on_the_loop(context: StepContext) -> int:
    look(context.step)
    job = current_job()
    assert job is not None
    assert job.id == context.job.id
    return 1


@step
def in_a_thread(context: StepContext) -> int:
    look(context.step)
    return 1


@step(cancellable=True, timeout=60)
async def in_an_interruption(context: StepContext) -> int:
    look(context.step)
    return 1


@step
async def with_a_session(session: AsyncSession, context: StepContext) -> int:
    look(context.step)
    return 1


@step
async def with_a_connection(connection: psycopg.AsyncConnection[Any], context: StepContext) -> int:
    look(context.step)
    return 1


@step
def with_a_session_in_a_thread(session: Session, context: StepContext) -> int:
    look(context.step)
    return 1


@step(max_attempts=3, backoff=0)
async def at_the_second_attempt(context: StepContext) -> int:
    look(context.step)
    if context.attempt == 1:
        raise RuntimeError("not yet")
    return 1


@step(max_attempts=3, backoff=0)
def in_a_thread_at_the_second_attempt(context: StepContext) -> int:
    look(context.step)
    if context.attempt == 1:
        context.snooze(0) if not context.job.meta.get("snoozed") else None
    return 1


@step
async def starts_a_queue(context: StepContext) -> int:
    look(context.step)
    await Oban.get_instance("Oban").start_queue(queue="late", limit=1)
    return 1


@step(queue="late")
async def in_a_late_queue(context: StepContext) -> int:
    look(context.step)
    return 1


@step
def numbers(context: StepContext) -> list[int]:
    look(context.step)
    return list(range(5))


@step
async def squares(numbers: Each[int], context: StepContext) -> int:
    look(context.step)
    return numbers * numbers


@worker(queue="default")
class Plain:
    async def process(self, job: Job) -> None:
        look("a plain job")


def tell(status: WorkflowStatus) -> None:
    look("a hook in a thread")


async def tell_async(status: WorkflowStatus) -> None:
    look("a hook")


KINDS = [
    on_the_loop,
    in_a_thread,
    in_an_interruption,
    with_a_session,
    with_a_connection,
    with_a_session_in_a_thread,
    at_the_second_attempt,
    in_a_thread_at_the_second_attempt,
]
