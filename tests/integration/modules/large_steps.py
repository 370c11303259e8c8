"""Maps whose results are large. A module of its own, since workers import steps by name."""

from __future__ import annotations

from baton_dsl import Each, Input, StepContext, step


@step
def numbers(count: Input[int]) -> list[int]:
    return list(range(count))


@step
def large(numbers: Each[int], size: Input[int]) -> str:
    return "x" * size


@step
def all_of_them(large: list[str]) -> int:
    return sum(map(len, large))


@step
def by_the_context(context: StepContext) -> int:
    return len(context.upstream["large"])


@step
def rows(count: Input[int]) -> list[list[int]]:
    return [list(range(count)), []]


@step
def deep(rows: Each[Each[int]], size: Input[int]) -> str:
    return "x" * size


@step
def all_rows(deep: list[list[str]]) -> int:
    return sum(len(text) for row in deep for text in row)


@step(max_attempts=1)
def fails_at_length(numbers: Each[int], size: Input[int]) -> int:
    raise ValueError("no luck " + "x" * size + " today")


@step(ignore_discarded=True)
def told(fails_at_length: list[int | None]) -> list[int | None]:
    return fails_at_length
