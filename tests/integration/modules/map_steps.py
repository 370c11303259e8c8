"""More mapped steps that the tests run: counted, held and broken ones. Workers import steps by name."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from typing import Any

from baton_dsl import Each, Flow, From, Input, Outcome, Skip, StepContext, step

RUNS: Counter[str] = Counter()
"""How often the function of each node was called."""
HELD: dict[str, threading.Event] = {}
"""What the items of `held` wait for, by their index."""
AT_ONCE: Counter[str] = Counter()
"""How many items of `crowded` run now, and how many ran at the most."""
BROKEN: set[int] = set()
"""What `counted` can't do."""


@step
def given(values: Input[Any]) -> Any:
    return values


@step(max_attempts=5)
def whole_number(given: Each[int]) -> int:
    return given


@step
def all_numbers(whole_number: list[int]) -> list[int]:
    return whole_number


@step(ignore_discarded=True)
def told(whole_number: list[Outcome[int]]) -> list[str]:
    return [item.reason or str(item.value) for item in whole_number]


guessing = Flow("guessing", given, whole_number, all_numbers, told)


# --- values that are hard to carry ----------------------------------------------------------------------------------


@step
def pairs(values: Input[dict[str, str]]) -> dict[str, str]:
    return {key.replace("NUL", "\0"): value.replace("NUL", "\0") for key, value in values.items()}


@step
def pair(pairs: Each[tuple[str, str]]) -> tuple[str, str]:
    return pairs


@step
def back(pair: list[tuple[str, str]]) -> dict[str, str]:
    return dict(pair)


carrying = Flow("carrying", pairs, pair, back)


@step
def large() -> list[int]:
    return [2**63, -(10**40), 7]


@step
def larger(large: Each[int]) -> int:
    return large * 10


@step
def largest(larger: list[Outcome[int]]) -> list[int]:
    return [item.value or 0 for item in larger]


growing = Flow("growing", large, larger, largest)


@step(max_attempts=1)
def unspeakable(large: Each[int], context: StepContext) -> int | Skip:
    if context.index == (0,):
        raise ValueError("a \0 and a \ud800")
    if context.index == (1,):
        context.cancel("c \0 and c \ud800")
    return Skip("b \0 and b \ud800")


speaking = Flow("speaking", large, unspeakable)


# --- counted and held -----------------------------------------------------------------------------------------------


@step
def numbers(count: Input[int]) -> list[int]:
    RUNS["numbers"] += 1
    return list(range(count))


@step(max_attempts=1)
def counted(numbers: Each[int], context: StepContext) -> int:
    RUNS[f"counted{context.index}"] += 1
    if numbers in BROKEN:
        raise ValueError(f"{numbers} is broken")
    return numbers


@step(max_attempts=1)
def followed(counted: Each[int], context: StepContext) -> int:
    RUNS[f"followed{context.index}"] += 1
    return counted


@step
def totals(counted: list[int], followed: list[int]) -> int:
    RUNS["totals"] += 1
    return sum(counted) + sum(followed)


counting = Flow("counting", numbers, counted, followed, totals)


@step
def held(numbers: Each[int], context: StepContext) -> int:
    event = HELD.get(str(numbers))
    if event is not None and not event.wait(60):
        raise TimeoutError
    return numbers


@step
def past(held: Each[int]) -> int:
    return held + 100


@step
def everything(held: list[int], past: list[int]) -> list[int]:
    return [*held, *past]


holding = Flow("holding", numbers, held, past, everything)


@step(max_concurrency=3)
async def crowded(numbers: Each[int]) -> int:
    AT_ONCE["now"] += 1
    AT_ONCE["most"] = max(AT_ONCE["now"], AT_ONCE["most"])
    for _ in range(5):
        await asyncio.sleep(0)
    AT_ONCE["now"] -= 1
    return numbers


@step
def crowd(crowded: list[int]) -> int:
    return len(crowded)


crowding = Flow("crowding", numbers, crowded, crowd)


# --- levels ---------------------------------------------------------------------------------------------------------


@step
def grid(sizes: Input[list[list[int]]]) -> list[list[int]]:
    return sizes


@step(max_attempts=1)
def cell(grid: Each[Each[int]]) -> int:
    if grid < 0:
        raise ValueError(f"{grid} is negative")
    return grid


@step(ignore_discarded=True)
def cells(
    cell: list[list[int | None]],
    outcomes: list[list[Outcome[int]]] = From(cell),
) -> tuple[list[list[int | None]], list[list[str]]]:
    return cell, [[item.state for item in row] for row in outcomes]


gridding = Flow("gridding", grid, cell, cells)
