"""The corpus of edges: what an upstream gives, what a parameter takes, and whether the one may go to the other.

Every door judges it: live functions, mypy with the plugin, source text, and plain checkers on emitted calls.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

PREAMBLE = """\
from collections.abc import Iterable, Mapping, MutableMapping, Sequence, Set
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from enum import Enum, IntEnum
from pathlib import Path, PurePath
from typing import Annotated, Any, Literal, NamedTuple, NewType, NotRequired
from typing import Optional, Protocol, TypedDict, Union, overload
from uuid import UUID

from pydantic import BaseModel

from baton_dsl import Each, Flow, Input, Outcome, Skip, StepContext, step


@dataclass
class Animal:
    name: str


@dataclass
class Dog(Animal):
    age: int


@dataclass
class Puppy(Dog):
    weeks: int


class Order(BaseModel):
    total: int


class Refund(Order):
    reason: str


class Page[T](BaseModel):
    items: list[T]


class Row(TypedDict):
    id: int


class WideRow(Row):
    name: str


class LooseRow(TypedDict):
    id: NotRequired[int]


class Point(NamedTuple):
    x: int
    y: int


class Colour(Enum):
    RED = "red"


class Level(IntEnum):
    LOW = 1


class Named(Protocol):
    @property
    def name(self) -> str: ...


class Aged(Named, Protocol):
    @property
    def age(self) -> int: ...


class Box[T](BaseModel):
    item: T


class IntBox(Box[int]):
    label: str


class Tree(TypedDict):
    children: list["Tree"]


UserId = NewType("UserId", int)
AdminId = NewType("AdminId", UserId)
type Ids = list[int]
type Pair[T] = tuple[T, T]
"""


@dataclass(frozen=True, slots=True)
class Edge:
    """One edge of the corpus.

    Attributes:
        source: The upstream's return annotation.
        target: The parameter's annotation.
        fits: The verdict.
        is_async: Whether the upstream is a coroutine function.
        is_known: Whether run time can tell; where it can't it is silent.
        overloaded: Which of the two steps is an overloaded function: `up`, `down` or neither.
        levels: How many levels the upstream is mapped over.
        given: Options of the upstream.
        taken: Options of the step that takes its result.
        code: What is found where it does not fit.
        is_claimed: Whether emitted calls claim it.
    """

    source: str
    target: str
    fits: bool
    is_async: bool = False
    is_known: bool = True
    overloaded: str = ""
    levels: int = 0
    given: str = ""
    taken: str = ""
    code: str = "BTN201"
    is_claimed: bool = True


MODELS = 'models=("anthropic:a", "openai:b")'
"""The option of a step of several models."""

EDGES = (
    # the same, and nothing like it
    Edge("int", "int", True),
    Edge("str", "int", False),
    Edge("int", "str", False),
    Edge("None", "None", True),
    Edge("None", "int", False),
    Edge("bytes", "str", False),
    Edge("Any", "int", True),
    Edge("int", "Any", True),
    Edge("list[Any]", "list[int]", True),
    Edge("int", "object", True),
    Edge("object", "int", False),
    # the numeric tower
    Edge("bool", "int", True),
    Edge("int", "bool", False),
    Edge("int", "float", True),
    Edge("float", "int", False),
    Edge("int", "Decimal", False),
    Edge("Level", "int", True),
    Edge("int", "Level", False),
    # optional and unions
    Edge("int", "int | None", True),
    Edge("int | None", "int", False),
    Edge("int | None", "int | None", True),
    Edge("int | str", "str | int", True),
    Edge("int | str", "int", False),
    Edge("int", "int | str | bytes", True),
    Edge("int | None", "float | None", True),
    Edge("list[int] | None", "Sequence[int] | None", True),
    Edge("Optional[int]", "int | None", True),
    Edge("Union[int, str]", "Optional[int]", False),
    Edge("list[int | None]", "list[int]", False),
    Edge("dict[str, int] | list[int]", "Mapping[str, int] | Sequence[int]", True),
    Edge("list[int] | None", "list[int]", False),
    # async
    Edge("int", "int", True, is_async=True),
    Edge("int | None", "int", False, is_async=True),
    Edge("list[str]", "list[int]", False, is_async=True),
    Edge("Dog", "Animal | None", True, is_async=True),
    Edge("None", "int", False, is_async=True),
    # overloaded functions: results and parameters are those of the implementation
    Edge("int | str", "int | str | None", True, overloaded="up"),
    Edge("int | str", "bytes", False, overloaded="up"),
    Edge("int", "int | str", True, overloaded="down"),
    Edge("bytes", "int | str", False, overloaded="down"),
    # builtin generics
    Edge("list[int]", "list[int]", True),
    Edge("list[int]", "list[float]", False),
    Edge("list[bool]", "list[int]", False),
    Edge("list[int]", "Sequence[float]", True),
    Edge("list[int]", "Iterable[int]", True),
    Edge("Sequence[int]", "list[int]", False),
    Edge("dict[str, int]", "dict[str, float]", False),
    Edge("dict[str, int]", "Mapping[str, float]", True),
    Edge("dict[str, int]", "Mapping[int, int]", False),
    Edge("Mapping[str, int]", "MutableMapping[str, int]", False),
    Edge("set[int]", "Set[float]", True),
    Edge("set[int]", "list[int]", False),
    Edge("frozenset[int]", "frozenset[float]", True),
    Edge("list[list[int]]", "list[list[str]]", False),
    Edge("list[Dog]", "Sequence[Animal]", True),
    Edge("list[Dog]", "list[Animal]", False),
    Edge("str", "Sequence[str]", True),
    Edge("str", "list[str]", False),
    # tuples
    Edge("tuple[int, str]", "tuple[int, str]", True),
    Edge("tuple[int, str]", "tuple[int, int]", False),
    Edge("tuple[int, int]", "tuple[int, ...]", True),
    Edge("tuple[int, ...]", "tuple[int, int]", False),
    Edge("tuple[Any, ...]", "tuple[int, int]", True),
    Edge("tuple[int, int]", "tuple[int, int, int]", False),
    Edge("tuple[bool, int]", "Sequence[int]", True),
    Edge("Point", "tuple[int, ...]", True),
    # classes
    Edge("Dog", "Animal", True),
    Edge("Animal", "Dog", False),
    Edge("Puppy", "Animal | None", True),
    Edge("Dog | Puppy", "Animal", True),
    Edge("Refund", "Order", True),
    Edge("Order", "Refund", False),
    Edge("Order", "Animal", False),
    Edge("datetime", "date", True),
    Edge("date", "datetime", False),
    Edge("Path", "PurePath", True),
    Edge("str", "Path", False),
    Edge("UUID", "str", False),
    Edge("Colour", "str", False),
    Edge("dict[str, int]", "Dog", False),
    # generics of users
    Edge("IntBox", "Box[int]", True, is_known=False),
    Edge("IntBox", "Box[str]", False, is_known=False),
    Edge("list[Page[int]]", "Sequence[Page[str]]", False, is_known=False),
    Edge("Page[int]", "Page[int]", True),
    Edge("Page[int]", "Page[str]", False, is_known=False),
    Edge("Page[int]", "BaseModel", True),
    # protocols
    Edge("Dog", "Named", True, is_known=False),
    Edge("Order", "Named", False, is_known=False),
    Edge("Dog", "Aged", True, is_known=False),
    Edge("Animal", "Aged", False, is_known=False),
    Edge("list[Dog]", "Sequence[Named]", True, is_known=False),
    # TypedDict
    Edge("LooseRow", "Row", False),
    Edge("list[WideRow]", "Sequence[Row]", True),
    Edge("list[WideRow]", "list[Row]", False),
    Edge("Tree", "Tree", True),
    Edge("Tree", "Row", False),
    Edge("Row", "Row", True),
    Edge("WideRow", "Row", True),
    Edge("Row", "WideRow", False),
    Edge("Row", "LooseRow", False),
    Edge("Row", "Mapping[str, object]", True),
    Edge("Row", "dict[str, int]", False),
    Edge("dict[str, int]", "Row", False),
    # NewType and Literal
    Edge("UserId", "int", True),
    Edge("int", "UserId", False),
    Edge("AdminId", "int", True),
    Edge("UserId", "AdminId", False),
    Edge("list[UserId]", "list[int]", False),
    Edge("UserId | None", "int | None", True),
    Edge("Literal[1, None]", "int | None", True),
    Edge("list[Literal[1]]", "Sequence[int]", True),
    Edge('Literal["a"]', 'Literal["a", "b"]', True),
    Edge('Literal["a", "c"]', 'Literal["a", "b"]', False),
    Edge('Literal["a"]', "str", True),
    Edge("str", 'Literal["a"]', False),
    Edge("Literal[1]", "Literal[True]", False),
    # aliases and metadata
    Edge("Ids", "list[int]", True),
    Edge("Ids", "list[str]", False),
    Edge("Pair[int]", "tuple[int, int]", True),
    Edge("Pair[int]", "Pair[str]", False),
    Edge('Annotated[int, "metres"]', "int", True),
    Edge("str", 'Annotated[int, "metres"]', False),
    # each item of a collection
    Edge("list[str]", "Each[str]", True),
    Edge("list[str]", "Each[int]", False),
    Edge("list[Order]", "Each[Order]", True, is_async=True),
    Edge("set[int]", "Each[int]", True),
    Edge("frozenset[int]", "Each[float]", True),
    Edge("Sequence[Dog]", "Each[Animal]", True),
    Edge("Sequence[Animal]", "Each[Dog]", False),
    Edge("Iterable[int]", "Each[int]", True),
    Edge("Set[int]", "Each[str]", False),
    Edge("tuple[int, ...]", "Each[int]", True),
    Edge("tuple[int, int]", "Each[int]", True),
    Edge("tuple[int, str]", "Each[int | str]", True, is_claimed=False),
    Edge("Ids", "Each[int]", True),
    Edge("list[int | None]", "Each[int | None]", True),
    Edge("list[int | None]", "Each[int]", False),
    Edge("list[int] | set[str]", "Each[int | str]", True, is_claimed=False),
    Edge("list[int]", 'Each[Annotated[int, "metres"]]', True),
    Edge("list[Any]", "Each[int]", True),
    Edge("Any", "Each[int]", True),
    # the items of a mapping
    Edge("dict[str, int]", "Each[tuple[str, int]]", True),
    Edge("dict[str, int]", "Each[tuple[str, float]]", True),
    Edge("dict[str, int]", "Each[str]", False),
    Edge("Mapping[str, Order]", "Each[tuple[str, Refund]]", False),
    Edge("Row", "Each[tuple[str, object]]", True),
    # several levels
    Edge("list[list[int]]", "Each[Each[int]]", True),
    Edge("list[list[int]]", "Each[list[int]]", True),
    Edge("list[list[int]]", "Each[int]", False),
    Edge("list[set[tuple[int, ...]]]", "Each[Each[Each[int]]]", True),
    Edge("list[dict[str, int]]", "Each[Each[tuple[str, int]]]", True),
    Edge("list[int]", "Each[Each[int]]", False, code="BTN205"),
    Edge("list[Order]", "Each[Each[int]]", False, code="BTN205"),
    Edge("list[str]", "Each[Each[str]]", False, code="BTN205"),
    # no collections
    Edge("str", "Each[str]", False, code="BTN205"),
    Edge("bytes", "Each[int]", False, code="BTN205"),
    Edge("int", "Each[int]", False, code="BTN205"),
    Edge("None", "Each[int]", False, code="BTN205"),
    Edge("object", "Each[int]", False, code="BTN205"),
    Edge("Order", "Each[int]", False, code="BTN205"),
    Edge("Page[int]", "Each[int]", False, code="BTN205"),
    Edge("Dog", "Each[int]", False, code="BTN205"),
    Edge("Colour", "Each[str]", False, code="BTN205"),
    Edge("UserId", "Each[int]", False, code="BTN205"),
    Edge('Literal["a"]', "Each[str]", False, code="BTN205"),
    Edge("list[int] | None", "Each[int]", False, code="BTN205"),
    # what may be skipped
    Edge("int | Skip", "int", True),
    Edge("Skip | int", "int | None", True, is_async=True),
    Edge("int | Skip", "str", False),
    Edge("int | None | Skip", "int", False),
    Edge("list[int] | Skip", "Each[int]", True),
    Edge("list[int] | Skip", "Each[str]", False),
    # all results of a map
    Edge("int", "list[int]", True, levels=1),
    Edge("int", "int", False, levels=1),
    Edge("int", "list[str]", False, levels=1),
    Edge("int", "Sequence[float]", True, levels=1, is_async=True),
    Edge("int", "object", True, levels=1),
    Edge("int | Skip", "list[int]", True, levels=1),
    Edge("list[int]", "list[list[int]]", True, levels=1),
    Edge("list[int]", "list[int]", False, levels=1),
    Edge("int", "list[int | None]", True, levels=1),
    Edge("int", "list[str | None]", False, levels=1),
    Edge("int", "list[Outcome[int]]", True, levels=1),
    Edge("int", "Sequence[Outcome[float]]", True, levels=1),
    Edge("int", "list[Outcome[str]]", False, levels=1),
    Edge("int", "Outcome[int]", False, levels=1),
    Edge("int", "list[Outcome[int]]", False),
    Edge("int", "list[list[int]]", True, levels=2),
    Edge("int", "list[int]", False, levels=2),
    Edge("int", "list[list[int | None]]", True, levels=2),
    Edge("int", "list[list[Outcome[int]]]", True, levels=2),
    Edge("int", "list[Outcome[list[int]]]", False, levels=2),
    Edge("int", "list[list[list[int]]]", True, levels=3),
    # item by item
    Edge("int", "Each[int]", True, levels=1),
    Edge("int", "Each[str]", False, levels=1),
    Edge("int", "Each[Outcome[int]]", False, levels=1),
    Edge("int", "Each[Each[int]]", False, levels=1, code="BTN205"),
    Edge("list[int]", "Each[Each[int]]", True, levels=1),
    Edge("dict[str, int]", "Each[Each[tuple[str, int]]]", True, levels=1),
    Edge("int", "Each[list[int]]", True, levels=2),
    Edge("int", "Each[list[Outcome[int]]]", True, levels=2),
    Edge("int", "Each[Each[int]]", True, levels=2),
    Edge("int", "Each[int]", False, levels=2),
    # what may be absent
    Edge("int", "int", False, taken="ignore_discarded=True", code="BTN202"),
    Edge("int", "int | None", True, taken="ignore_cancelled=True"),
    Edge("list[int]", "Each[int]", True, taken="ignore_cancelled=True"),
    Edge("int", "list[int]", False, levels=1, taken="ignore_discarded=True", code="BTN202"),
    Edge("int", "Sequence[int]", False, levels=1, given="min_success=0.5", code="BTN202"),
    Edge("int", "Each[list[int]]", False, levels=2, given="min_success=1", code="BTN202"),
    Edge("int", "Each[int]", True, levels=1, given="min_success=1"),
    Edge("int", "Each[int]", False, levels=1, taken="ignore_discarded=True", code="BTN202"),
    Edge("int", "Each[int | None]", True, levels=1, taken="ignore_discarded=True"),
    Edge("int", "list[int | None]", True, levels=1, given="min_success=1"),
    Edge("int", "list[Outcome[int]]", True, levels=1, taken="ignore_discarded=True"),
    Edge("int | None", "list[int | None]", True, levels=1, taken="ignore_cancelled=True"),
    # the results of several models
    Edge("int", "dict[str, int]", True, given=MODELS),
    Edge("int", "Mapping[str, float]", True, given=MODELS, is_async=True),
    Edge("int", "object", True, given=MODELS),
    Edge("int | Skip", "dict[str, int]", True, given=MODELS),
    Edge("dict[str, int]", "dict[str, dict[str, int]]", True, given=MODELS),
    Edge("int", "int", False, given=MODELS),
    Edge("int", "list[int]", False, given=MODELS),
    Edge("int", "dict[str, str]", False, given=MODELS, is_async=True),
    Edge("int", "dict[int, int]", False, given=MODELS),
    Edge("int", "dict[str, Outcome[int]]", True, given=MODELS),
    Edge("int", "dict[str, int | None]", True, given=MODELS, taken="ignore_discarded=True"),
    Edge("int", "dict[str, int]", False, given=MODELS, taken="ignore_discarded=True", code="BTN202"),
    Edge("int", "Mapping[str, int]", False, given=MODELS + ", min_success=1", code="BTN202"),
    Edge("int", "int", True, given='models="anthropic:a"'),
    Edge("int", "dict[str, int]", False, given='models="anthropic:a"'),
)


def module() -> str:
    """A module with one flow for each edge: `up_0` and `down_0` in `flow_0`, and so on."""
    parts = [PREAMBLE]
    for number, edge in enumerate(EDGES):
        parts += [part.replace("NUMBER", str(number)) for part in ("\n", *_steps(edge), _FLOW)]
    return "".join(parts)


_FLOW = """

flow_NUMBER = Flow("flow_NUMBER", up_NUMBER, down_NUMBER)
"""


def _steps(edge: Edge) -> Iterator[str]:
    """The two steps of an edge."""
    if edge.overloaded == "up":
        items = [f"(kind: Input[{item}]) -> {item}" for item in edge.source.split(" | ")]
        yield _overloaded("up_NUMBER", items, f"(kind: Input[{edge.source}]) -> {edge.source}")
    else:
        kind = "async def" if edge.is_async else "def"
        is_several = edge.given.startswith(MODELS)
        seed = (
            "context: StepContext"
            if is_several
            else f"seed: {'Each[' * edge.levels}Input[int]{']' * edge.levels}"
            if edge.levels
            else ""
        )
        options = f"({edge.given})" if edge.given else ""
        yield f"\n@step{options}\n{kind} up_NUMBER({seed}) -> {edge.source}:\n    raise NotImplementedError\n\n"
    if edge.overloaded == "down":
        items = [f"(up_NUMBER: {item}) -> {item}" for item in edge.target.split(" | ")]
        yield _overloaded("down_NUMBER", items, f"(up_NUMBER: {edge.target}) -> {edge.target}")
    else:
        options = f"({edge.taken})" if edge.taken else ""
        yield f"\n@step{options}\ndef down_NUMBER(up_NUMBER: {edge.target}) -> None: ...\n"


def _overloaded(name: str, items: Iterable[str], implementation: str) -> str:
    """A step made of an overloaded function."""
    overloads = "".join(f"\n@overload\ndef choose_{name}{item}: ...\n" for item in items)
    body = f"\ndef choose_{name}{implementation}:\n    raise NotImplementedError\n"
    return f'{overloads}{body}\n\n{name} = step(name="{name}")(choose_{name})\n'


def lines() -> dict[int, int]:
    """The line of each edge's parameter in the module."""
    return {
        line: int(match[1]) for line, text in enumerate(module().splitlines(), start=1) if (match := _TAKES.match(text))
    }


_TAKES = re.compile(r"def (?:choose_)?down_(\d+)\(")


WRONG = [number for number, edge in enumerate(EDGES) if not edge.fits]
"""The edges that every door must find."""
