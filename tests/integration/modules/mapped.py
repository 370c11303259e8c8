"""Mapped steps and branches that the tests run. A module of its own, since workers import steps by name."""

from __future__ import annotations

from typing import Annotated

from baton_dsl import Each, Flow, From, Input, Outcome, Skip, StepContext, step


@step
def numbers(count: Input[int]) -> list[int]:
    return list(range(count))


@step
async def squares(numbers: Each[int], offset: Input[int] = 0) -> int:
    return numbers * numbers + offset


@step
def total(squares: list[int]) -> int:
    return sum(squares)


summing = Flow("summing", numbers, squares, total)


# --- what is mapped over --------------------------------------------------------------------------------------------


@step
def prices() -> dict[str, float]:
    return {"tea": 2.5, "milk": 1.25}


@step
def labels(prices: Each[tuple[str, float]]) -> str:
    name, price = prices
    return f"{name}: {price}"


labelling = Flow("labelling", prices, labels)


@step
def greet(names: Each[Input[str]], greeting: Input[str]) -> str:
    return f"{greeting} {names}"


@step
def letter(greet: list[str]) -> str:
    return ", ".join(greet)


greeting = Flow("greeting", greet, letter)


@step
def halves(squares: Each[int]) -> float:
    return squares / 2


@step
def both(squares: list[int], halves: list[float]) -> list[tuple[int, float]]:
    return list(zip(squares, halves, strict=True))


chained = Flow("chained", numbers, squares, halves, both)


@step(combine="product")
def pairs(left: Each[Input[str]], numbers: Each[int]) -> str:
    return f"{left}{numbers}"


@step
def joined(pairs: list[str]) -> str:
    return " ".join(pairs)


crossing = Flow("crossing", numbers, pairs, joined)


@step(combine="zip")
def named(names: Each[Input[str]], squares: Each[int]) -> str:
    return f"{names}={squares}"


zipping = Flow("zipping", numbers, squares, named)


# --- levels ---------------------------------------------------------------------------------------------------------


@step
def shelves(sizes: Input[list[list[int]]]) -> list[list[int]]:
    return sizes


@step
def doubled(shelves: Each[Each[int]]) -> int:
    return shelves * 2


@step
def rows(doubled: Each[list[int]]) -> int:
    return sum(doubled)


@step
def nested_report(doubled: list[list[int]], rows: list[int]) -> str:
    return f"{doubled} {rows}"


shelving = Flow("shelving", shelves, doubled, rows, nested_report)


@step
def upto(numbers: Each[int]) -> list[int]:
    return list(range(numbers))


@step
def spread(upto: Each[Each[int]]) -> list[str]:
    return [f"{upto}"] * upto


@step
def deepest(spread: Each[Each[Each[str]]]) -> str:
    return spread + "!"


@step
def tree(deepest: list[list[list[str]]], spread: list[list[list[str]]]) -> str:
    assert [[[f"{leaf}!" for leaf in leaves] for leaves in branches] for branches in spread] == deepest
    return f"{deepest}"


growing = Flow("growing", numbers, upto, spread, deepest, tree)


# --- what is shared -------------------------------------------------------------------------------------------------


@step
def atlas() -> str:
    return "x" * 200_000


@step
def regions() -> list[str]:
    return ["eu", "us", "asia"]


@step
def maps(
    atlas: str,
    regions: Each[str],
    scale: Input[int],
    every: Annotated[list[str], From("regions")],
    context: StepContext,
) -> str:
    return (
        f"{context.step}{context.index} {regions} of {len(every)} in {len(atlas) * scale}, {sorted(context.upstream)}"
    )


sharing = Flow("sharing", atlas, regions, maps)


# --- failures -------------------------------------------------------------------------------------------------------


@step(max_attempts=1)
def fragile(numbers: Each[int], context: StepContext, bad: Input[list[int]] = []) -> int:  # noqa: B006 - never changed
    if numbers in bad:
        raise ValueError(f"{numbers} is bad")
    if numbers == 99:
        context.cancel("no 99")
    return numbers


@step
def strict(fragile: list[int]) -> int:
    return sum(fragile)


@step(ignore_discarded=True, ignore_cancelled=True)
def lenient(fragile: list[int | None]) -> list[int | None]:
    return fragile


@step(ignore_discarded=True, ignore_cancelled=True)
def told(fragile: list[Outcome[int]]) -> list[str]:
    return [str(item.value) if item.ok else f"{item.state} {(item.reason or '').splitlines()[-1:]}" for item in fragile]


failing = Flow("failing", numbers, fragile, strict, lenient, told)


@step
def after_fragile(fragile: Each[int]) -> int:
    return fragile + 1


following = Flow("following", numbers, fragile, after_fragile)


@step(max_attempts=1, min_success=0.5)
def enough(numbers: Each[int], bad: Input[list[int]]) -> int:
    if numbers in bad:
        raise ValueError(f"{numbers} is bad")
    return numbers


@step
def counted(enough: list[int | None]) -> int:
    return len([item for item in enough if item is not None])


demanding = Flow("demanding", numbers, enough, counted)


# --- branches -------------------------------------------------------------------------------------------------------


@step
def amount(given: Input[int]) -> int:
    return given


@step
def small(amount: int) -> str | Skip:
    return "small" if amount < 10 else Skip("not small")


@step
def large(amount: int, context: StepContext) -> str:
    if amount < 10:
        context.skip("not large")
    return "large"


@step
def wrap(large: str) -> str:
    return f"<{large}>"


@step
def join(small: str | None, wrap: str | None) -> str:
    return f"{small} {wrap}"


@step(after=["wrap"])
def later() -> str:
    return "later"


branching = Flow("branching", amount, small, large, wrap, join, later)


@step
def evens(numbers: Each[int]) -> int | Skip:
    return numbers if numbers % 2 == 0 else Skip("odd")


@step
def even_halves(evens: Each[int]) -> int:
    return evens // 2


@step
def even_marks(evens: Each[int | None]) -> str:
    return "-" if evens is None else str(evens)


@step
def even_report(
    evens: list[int],
    even_halves: list[int],
    even_marks: list[str],
    holes: Annotated[list[int | None], From("evens")],
    outcomes: Annotated[list[Outcome[int]], From("evens")],
) -> str:
    return f"{evens} {even_halves} {even_marks} {holes} {[(item.state, item.reason) for item in outcomes]}"


filtering = Flow("filtering", numbers, evens, even_halves, even_marks, even_report)


# --- bounds ---------------------------------------------------------------------------------------------------------


@step(max_items=5)
def few(numbers: Each[int]) -> int:
    return numbers


@step
def few_total(few: list[int]) -> int:
    return sum(few)


bounded = Flow("bounded", numbers, few, few_total)


@step(max_concurrency=3)
async def gentle(numbers: Each[int]) -> int:
    return numbers


@step
def gentle_total(gentle: list[int]) -> int:
    return sum(gentle)


windowed = Flow("windowed", numbers, gentle, gentle_total)


@step(max_concurrency=100, max_items=1_000_000)
async def one_of_many(numbers: Each[int]) -> None:
    pass


crowded = Flow("crowded", numbers, one_of_many)


@step(max_concurrency=1)
def one_at_a_time(numbers: Each[int]) -> int:
    return numbers
