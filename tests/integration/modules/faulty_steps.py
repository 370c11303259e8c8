"""Steps that count how often they run. A module of its own, since workers import steps by name."""

from __future__ import annotations

from collections import Counter

from baton_dsl import Each, StepContext, step

RUNS: Counter[tuple[str, str]] = Counter()
"""How often each ran, by workflow and name."""


@step(max_attempts=5, backoff=0)
async def runs(context: StepContext) -> int:
    RUNS[context.workflow_id, context.step] += 1
    return 1 + sum(value or 0 for value in context.upstream.values())


@step(max_attempts=5, backoff=0)
def fails_at_first(context: StepContext) -> int:
    RUNS[context.workflow_id, context.step] += 1
    if RUNS[context.workflow_id, context.step] == 1:
        raise RuntimeError("no luck at first")
    return 1


@step(max_attempts=5, backoff=0)
async def numbers(context: StepContext) -> list[int]:
    RUNS[context.workflow_id, context.step] += 1
    return [1, 2, 3]


@step(max_attempts=5, backoff=0)
async def squares(numbers: Each[int], context: StepContext) -> int:
    RUNS[context.workflow_id, f"{context.step}[{numbers - 1}]"] += 1
    return numbers * numbers


@step(max_attempts=5, backoff=0)
async def total(squares: list[int], context: StepContext) -> int:
    RUNS[context.workflow_id, context.step] += 1
    return sum(squares)
