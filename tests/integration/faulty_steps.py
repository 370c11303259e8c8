"""Steps that count how often they run. A module of its own, since workers import steps by name."""

from __future__ import annotations

from collections import Counter

from baton_dsl import StepContext, step

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
