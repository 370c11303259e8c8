"""BTN203: a result or an input that can't round-trip through JSON."""

from collections.abc import Callable, Iterator

from baton_dsl.core import maps
from baton_dsl.core.diagnostics import Diagnostic
from baton_dsl.core.rules.rule import Context, Example, Finder, Rule, once
from baton_dsl.core.spec import MISSING, UNKNOWN, Absent, ParameterSpec, StepSpec

finding = Finder("BTN203", "baton-not-serializable")


def run(context: Context) -> Iterator[Diagnostic]:
    """A finding for each return annotation and each input with a type that JSON can't carry, and each generator."""
    types = context.types
    unserializable = once(lambda each: None if isinstance(each, Absent) else types.unserializable(each))
    unreadable = once(lambda each: None if isinstance(each, Absent) else types.unreadable(each))
    for step in context.flow.steps:
        # BTN204 reports annotations that can't be evaluated
        if step.unevaluable is None and (part := unserializable(step.result)):
            yield finding(
                f'step "{step.name}" returns {_tell(types.show(step.result), part)} be stored as JSON',
                help="return plain data: a pydantic model, a dataclass, a TypedDict, numbers, strings, lists, dicts",
                step=step.name,
                place=step.return_place or step.place,
            )
        elif step.is_generator and not step.is_job:
            yield finding(
                f'step "{step.name}" is a generator, which can\'t be stored as JSON',
                help="return a list of what it yields",
                step=step.name,
                place=step.place,
            )
        for parameter in step.parameters:
            if parameter.unevaluable is not None:
                continue
            if not parameter.is_input:
                if part := unreadable(parameter.type):
                    yield from _unreadable(context, step, parameter, part, unserializable)
            elif part := unserializable(parameter.type):
                yield finding(
                    f'input "{parameter.name}" of step "{step.name}" is '
                    f"{_tell(types.show(parameter.type), part)} be stored as JSON",
                    help="give plain data, and open connections and files inside the step",
                    step=step.name,
                    parameter=parameter.name,
                    place=parameter.place,
                )


def _unreadable(
    context: Context,
    step: StepSpec,
    parameter: ParameterSpec,
    part: str,
    unserializable: Callable[[object], str | None],
) -> Iterator[Diagnostic]:
    """A finding for a parameter that can't be read from what its upstream stores, if nothing else is wrong."""
    types = context.types
    upstream = context.graph.steps.get(parameter.source or "")
    if upstream is None or upstream.name == step.name:
        return
    if upstream.unevaluable is not None or unserializable(upstream.result):
        return
    if maps.forms(types, parameter, upstream):
        given = maps.offer(types, parameter, upstream)
        is_told = given in (MISSING, UNKNOWN) or isinstance(given, maps.Stuck)
        yield finding(
            f'parameter "{parameter.name}" of step "{step.name}" is '
            f"{_tell(types.show(parameter.type), part)} be read from JSON",
            help="annotate it as plain data" if is_told else f"annotate it as {maps.written(types, parameter, given)}",
            step=step.name,
            parameter=parameter.name,
            place=parameter.place,
        )


def _tell(shown: str, part: str) -> str:
    return f"{shown}, which can't" if shown == part else f"{shown}, of which {part} can't"


RULE = Rule(
    code=finding.code,
    slug=finding.slug,
    summary="a result or input annotation that can't round-trip through JSON",
    why=(
        "Results and inputs are stored in a database, and another process reads them. They are JSON, never pickle: a "
        "value that JSON can't carry would fail after the step has done its work."
    ),
    bad=(
        Example(
            """\
from collections.abc import Callable, Iterator

from baton_dsl import Flow, Input, step

@step
def rows() -> Iterator[str]:
    return iter([])

@step
def filtered(keep: Input[Callable[[str], bool]]) -> list[str]:
    return []

etl = Flow("etl", rows, filtered)
""",
            (
                '6:15: BTN203: step "rows" returns Iterator[str], which can\'t be stored as JSON',
                '10:14: BTN203: input "keep" of step "filtered" is Callable, which can\'t be stored as JSON',
            ),
        ),
        Example(
            """\
import socket

from baton_dsl import Flow, step

@step
async def connections() -> dict[str, socket.socket]:
    return {}

net = Flow("net", connections)
""",
            ('6:28: BTN203: step "connections" returns dict[str, socket], of which socket can\'t be stored as JSON',),
        ),
        Example(
            """\
from collections import defaultdict
from collections.abc import Collection, Iterable

from baton_dsl import Each, Flow, step

@step
def words() -> list[str]:
    return ["a"]

@step
def lengths(words: Collection[str]) -> defaultdict[str, int | None]:
    return defaultdict(lambda: None, {word: len(word) for word in words})

@step
def first(words: Iterable[str]) -> list[frozenset[str]]:
    return [frozenset(words)]

@step
def second(first: Each[Collection[str]]) -> int:
    return len(first)

counting = Flow("counting", words, lengths, first, second)
""",
            (
                '11:13: BTN203: parameter "words" of step "lengths" is Collection[str], which can\'t be read from JSON',
                '11:40: BTN203: step "lengths" returns defaultdict[str, int | None], which can\'t be stored as JSON',
                '19:12: BTN203: parameter "first" of step "second" is Collection[str], which can\'t be read from JSON',
            ),
        ),
        Example(
            """\
from collections.abc import AsyncIterator, Iterable

from baton_dsl import Flow, step

@step
def numbers() -> Iterable[int]:
    yield 1

@step
async def pages(numbers: Iterable[int]) -> AsyncIterator[str]:
    for number in numbers:
        yield str(number)

export = Flow("export", numbers, pages)
""",
            (
                '6:5: BTN203: step "numbers" is a generator, which can\'t be stored as JSON',
                '10:44: BTN203: step "pages" returns AsyncIterator[str], which can\'t be stored as JSON',
            ),
        ),
    ),
    good=(
        Example(
            """\
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import Enum
from typing import Annotated, NamedTuple, TypedDict
from uuid import UUID

from pydantic import BaseModel, Field

from baton_dsl import Flow, Input, step

class Colour(Enum):
    RED = "red"

class Point(NamedTuple):
    x: int
    y: int

class Row(TypedDict):
    id: UUID
    at: datetime

@dataclass
class Line:
    start: Point
    rows: list[Row]

class Report(BaseModel):
    total: Decimal
    lines: dict[str, Line]
    totals: defaultdict[str, Annotated[Point, Field(default_factory=lambda: Point(0, 0))]]
    words: defaultdict[str, Mapping[str, int]]

@step
def report(colour: Input[Colour], since: Input[datetime | None] = None) -> Report | None:
    return None

@step
def points(report: Report | None) -> tuple[Point, ...]:
    def starts() -> Iterator[Point]:
        if report is not None:
            yield from (line.start for line in report.lines.values())

    return tuple(starts())

drawing = Flow("drawing", report, points)
"""
        ),
    ),
    run=run,
    is_about_a_step=True,
)
