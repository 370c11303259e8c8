"""Which stored JSON a new annotation certainly refuses, and that nothing else is called refused."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from enum import Enum
from typing import Annotated, Any, Literal, NamedTuple, NotRequired, TypedDict
from uuid import UUID

import pytest
from pydantic import (
    AliasChoices,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    computed_field,
    model_validator,
)

from baton_dsl.core.schemas import refusal
from baton_dsl.runtime.observing.deploy import _refused
from baton_dsl.runtime.values import payload
from baton_dsl.runtime.values.json_schema import accepted, returned


class Colour(Enum):
    RED = "red"
    BLUE = "blue"


class Line(BaseModel):
    sku: str
    count: int = 1


class LineNow(BaseModel):
    sku: str
    count: int
    price: float


class LineClosed(BaseModel):
    model_config = ConfigDict(extra="forbid")
    sku: str


class LineAsText(BaseModel):
    sku: str
    count: str


class LineMended(BaseModel):
    sku: str
    price: float

    @model_validator(mode="before")
    @classmethod
    def mend(cls, given: Any) -> Any:
        return {"price": 1.0, **given} if isinstance(given, dict) else given


class LineRenamed(BaseModel):
    code: str = Field(alias="sku")


class LineOfEither(BaseModel):
    model_config = ConfigDict(extra="forbid")
    code: str = Field(validation_alias=AliasChoices("article", "sku"))
    number: int = Field(default=0, validation_alias=AliasChoices("amount", "count"))


class LineFromNumbers(BaseModel):
    model_config = ConfigDict(coerce_numbers_to_str=True)
    sku: str
    count: str


class Area(BaseModel):
    model_config = ConfigDict(extra="forbid")
    width: int

    @computed_field  # type: ignore[prop-decorator]
    @property
    def double(self) -> int:
        return 2 * self.width


class Tree(BaseModel):
    value: int
    children: list[Tree] = []


class TreeOfText(BaseModel):
    value: int
    children: list[TreeOfText] = []
    name: str


class Point(NamedTuple):
    x: int
    y: float


class Row(TypedDict):
    id: int
    note: NotRequired[str]


class RowWithNote(TypedDict):
    id: int
    note: str


@dataclass
class Box:
    line: Line
    at: datetime | None = None


SAMPLES: Sequence[tuple[Any, list[Any]]] = [
    (int, [0, 1, -3, 2**70]),
    (float, [0.0, 1.5, -2.0]),
    (bool, [True, False]),
    (str, ["", "12", "a long text", "2026-01-02"]),
    (None, [None]),
    (int | None, [None, 3]),
    (int | str, [3, "x"]),
    (Annotated[int, Field(ge=0)], [0, 5]),
    (Annotated[int, Field(gt=0, le=10)], [1, 10]),
    (Annotated[str, Field(max_length=3)], ["", "abc"]),
    (Annotated[str, Field(pattern="^a")], ["a", "a long text"]),
    (Annotated[int, BeforeValidator(lambda value: value or 0)], [0, 7, -2]),
    (Literal["red", "green"], ["red", "green"]),
    (Literal[1, 2], [1, 2]),
    (Colour, [Colour.RED, Colour.BLUE]),
    (date, [date(2026, 1, 2)]),
    (datetime, [datetime.fromisoformat("2026-01-02T03:04:05+00:00")]),
    (timedelta, [timedelta(days=1, seconds=0.5)]),
    (UUID, [UUID(int=7)]),
    (Decimal, [Decimal("1.50"), Decimal(3)]),
    (bytes, [b"", b"\xff\x00"]),
    (list[int], [[], [1, 2]]),
    (list[str], [[], ["x"]]),
    (list[float | None], [[None, 1.5]]),
    (set[int], [{1}, set()]),
    (tuple[int, str], [(1, "a")]),
    (tuple[int, ...], [(), (1, 2, 3)]),
    (dict[str, int], [{}, {"a": 1}]),
    (dict[str, str], [{}, {"a": "b"}]),
    (dict[int, Line], [{}, {1: Line(sku="x")}]),
    (Line, [Line(sku="x", count=2)]),
    (LineNow, [LineNow(sku="x", count=2, price=1.5)]),
    (LineClosed, [LineClosed(sku="x")]),
    (LineAsText, [LineAsText(sku="x", count="many")]),
    (LineMended, [LineMended(sku="x", price=2.0)]),
    (LineRenamed, [LineRenamed(sku="x")]),
    (LineOfEither, [LineOfEither(sku="x", count=3)]),
    (LineFromNumbers, [LineFromNumbers(sku="x", count="3"), LineFromNumbers(sku="y", count="many")]),
    (list[Line], [[], [Line(sku="x")]]),
    (Area, [Area(width=3)]),
    (Tree, [Tree(value=1, children=[Tree(value=2)])]),
    (TreeOfText, [TreeOfText(value=1, name="x")]),
    (Point, [Point(1, 2.5)]),
    (Row, [{"id": 1}, {"id": 1, "note": "x"}]),
    (RowWithNote, [{"id": 1, "note": "x"}]),
    (Box, [Box(Line(sku="x"))]),
    (Any, [None, 1, "x", [1]]),
    (object, [1]),
]


def reads(annotation: Any, text: str) -> bool:
    try:
        payload.decode(annotation, text)
    except ValidationError:
        return False
    return True


@pytest.mark.parametrize(("annotation", "values"), SAMPLES)
def test_an_annotation_refuses_nothing_that_it_has_written(annotation: Any, values: list[Any]) -> None:
    assert _refused(returned(annotation), annotation) is None
    for value in values:
        assert reads(annotation, payload.encode(annotation, value))


def test_what_is_refused_has_a_value_that_can_not_be_read() -> None:
    refused = 0
    for (stored, values), (expected, _) in itertools.product(SAMPLES, SAMPLES):
        if reason := _refused(returned(stored), expected):
            refused += 1
            texts = [payload.encode(stored, value) for value in values]
            assert not all(reads(expected, text) for text in texts), f"{stored} for {expected}: {reason}"
    assert refused > 500


@pytest.mark.parametrize(
    ("stored", "expected", "told"),
    [
        (str, int, "it is text, a whole number is expected"),
        (int, str, "it is a whole number, text is expected"),
        (float, int, "it is a number, a whole number is expected"),
        (int | None, int, "it is null, a whole number is expected"),
        (list[str], list[int], "each item is text, a whole number is expected"),
        (dict[str, str], dict[str, int], "each value is text, a whole number is expected"),
        (list[int], dict[str, int], "it is a list, an object is expected"),
        (str, date, "it is text, a date is expected"),
        (Literal["a", "b"], Literal["a"], "it is 'b', one of 'a' is expected"),
        (str, Colour, "it is text, one of 'red', 'blue' is expected"),
        (int, Annotated[int, Field(ge=0)], "it is a whole number with no minimum, minimum 0 is expected"),
        (str, Annotated[str, Field(max_length=3)], "it is text with no maxLength, maxLength 3 is expected"),
        (
            Annotated[str, Field(max_length=9)],
            Annotated[str, Field(max_length=3)],
            "it is text with maxLength 9, maxLength 3 is expected",
        ),
        (Line, LineNow, "it has no 'price', which is expected"),
        (Line, LineClosed, "it has 'count', which is not expected any more"),
        (Row, RowWithNote, "it may have no 'note', which is expected"),
        (Line, LineAsText, "count is a whole number, text is expected"),
        (list[Line], list[LineNow], "each item has no 'price', which is expected"),
        (list[Box], list[dict[str, int]], "[each item].line is an object, a whole number is expected"),
        (Tree, TreeOfText, "it has no 'name', which is expected"),
        (Line, LineMended, None),
        (Line, LineRenamed, None),
        (Line, LineOfEither, None),
        (Line, LineFromNumbers, None),
        (int, float, None),
        (date, datetime, None),
        (Any, int, None),
        (int, Any, None),
    ],
)
def test_what_is_refused_is_told_at_its_place(stored: Any, expected: Any, told: str | None) -> None:
    assert _refused(returned(stored), expected) == told


def test_what_is_not_understood_is_silent() -> None:
    assert refusal({"type": "string"}, {"type": "integer", "not": {}}) is None
    assert refusal({"$ref": "#/elsewhere"}, {"type": "integer"}) is None
    assert refusal(None, accepted(int)) is None
    loop = {"$defs": {"A": {"$ref": "#/$defs/A"}}, "$ref": "#/$defs/A"}
    assert refusal(loop, {"type": "integer"}) is None
