"""Results and inputs as JSON: values come back unchanged, or are refused with a sentence."""

import collections
import datetime as dt
import ipaddress
import json
import math
import pathlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from enum import Enum, IntEnum, StrEnum
from fractions import Fraction
from typing import Annotated, Any, Generic, Literal, NamedTuple, TypedDict, TypeVar
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict, Field, ValidationError, computed_field

from baton_dsl.errors import ResultNotSerializableError, ResultTooLargeError, StoredValueError
from baton_dsl.runtime.values import payload

T = TypeVar("T")


class Color(Enum):
    RED = "red"
    BLUE = 2


class Size(StrEnum):
    S = "s"


class Level(IntEnum):
    LOW = 1


class Line(BaseModel):
    price: Decimal
    when: dt.datetime
    tags: frozenset[str] = frozenset()


class Order(BaseModel):
    lines: list[Line]
    color: Color | None = None


class Box(BaseModel, Generic[T]):  # noqa: UP046 - the old spelling is to work as well
    content: T


class Crate[X](BaseModel):
    content: X


@dataclass
class Reading:
    value: float
    raw: bytes = b""
    children: "list[Reading]" = field(default_factory=list)


class Row(TypedDict, total=False):
    value: float
    raw: bytes


class Named(NamedTuple):
    first: str
    age: int


type Tree = dict[str, Tree] | list[Tree] | int | str

text = st.text(st.characters(exclude_categories=("Cs",)))
big = st.integers(-(2**200), 2**200)
finite = st.decimals(allow_nan=False, allow_infinity=False)
moments = st.datetimes(timezones=st.none() | st.sampled_from([dt.UTC, dt.timezone(dt.timedelta(hours=5, minutes=30))]))
lines = st.builds(Line, price=finite, when=moments, tags=st.frozensets(text))
orders = st.builds(Order, lines=st.lists(lines, max_size=3), color=st.none() | st.sampled_from(Color))
readings = st.builds(
    Reading, value=st.floats(), raw=st.binary(), children=st.builds(Reading, st.floats()).map(lambda r: [r])
)

ANNOTATED: list[tuple[Any, st.SearchStrategy[Any]]] = [
    (None, st.none()),
    (bool, st.booleans()),
    (int, big),
    (float, st.floats()),
    (complex, st.complex_numbers(allow_nan=False)),
    (str, text),
    (bytes, st.binary()),
    (Decimal, finite),
    (Fraction, st.fractions()),
    (UUID, st.uuids()),
    (dt.date, st.dates()),
    (dt.datetime, moments),
    (dt.time, st.times()),
    (dt.timedelta, st.timedeltas(min_value=dt.timedelta(days=-9999), max_value=dt.timedelta(days=9999))),
    (pathlib.Path, st.just(pathlib.Path("a/b"))),
    (ipaddress.IPv4Address, st.ip_addresses(v=4)),
    (Color, st.sampled_from(Color)),
    (Size, st.sampled_from(Size)),
    (Level, st.sampled_from(Level)),
    (Literal["a", 1, True, None], st.sampled_from(["a", 1, True, None])),
    (list[float], st.lists(st.floats())),
    (tuple[int, str, bytes], st.tuples(big, text, st.binary())),
    (tuple[float, ...], st.lists(st.floats()).map(tuple)),
    (set[tuple[int, str]], st.sets(st.tuples(big, text))),
    (frozenset[UUID], st.frozensets(st.uuids())),
    (collections.deque[int], st.lists(big).map(collections.deque)),
    (collections.Counter[str], st.dictionaries(text, st.integers(1, 9)).map(collections.Counter)),
    (dict[int, float], st.dictionaries(big, st.floats())),
    (dict[UUID, bytes], st.dictionaries(st.uuids(), st.binary())),
    (dict[Size, int], st.dictionaries(st.sampled_from(Size), big)),
    (dict[dt.date, bool], st.dictionaries(st.dates(), st.booleans())),
    (Mapping[str, Sequence[int]], st.dictionaries(text, st.lists(big))),
    (Order, orders),
    (list[Order] | None, st.none() | st.lists(orders, max_size=2)),
    (Reading, readings),
    (Annotated[Reading, "metadata"], readings),
    (list[Reading], st.lists(readings, max_size=2)),
    (Row, st.fixed_dictionaries({}, optional={"value": st.floats(), "raw": st.binary()})),
    (Named, st.builds(Named, text, big)),
    (Box[set[int]], st.builds(Box[set[int]], content=st.sets(big))),
    (Crate[Line], st.builds(Crate[Line], content=lines)),
    (Tree, st.recursive(big | text, lambda inner: st.lists(inner) | st.dictionaries(text, inner), max_leaves=8)),
    (Any, st.recursive(st.none() | text, lambda inner: st.lists(inner) | st.dictionaries(text, inner), max_leaves=8)),
    # unions keep the type of the value
    (int | str, big | text),
    (str | int, big | text),
    (bool | int, st.booleans() | big),
    (int | bool | None, st.booleans() | big | st.none()),
    (int | float, big | st.floats(allow_nan=False, allow_infinity=False)),
    (float | int, big | st.floats(allow_nan=False, allow_infinity=False)),
    (list[int] | list[str], st.lists(big) | st.lists(text, min_size=1)),
    (dt.date | dt.datetime, st.dates() | moments.filter(lambda moment: moment.time() != dt.time())),
    (Line | Reading, lines | readings),
]  # fmt: skip


def same(left: object, right: object) -> bool:
    """Equal, of the same types, and with NaN equal to itself."""
    match left, right:
        case float(), float() if math.isnan(left):
            return math.isnan(right)
        case ((list() | tuple() | collections.deque()), _):
            return (
                type(left) is type(right)
                and len(left) == len(right)
                and all(same(mine, other) for mine, other in zip(left, right, strict=True))
            )
        case dict(), dict():
            return left.keys() == right.keys() and all(same(left[key], right[key]) for key in left)
        case Reading(), Reading():
            return same([left.value, left.raw, left.children], [right.value, right.raw, right.children])
        case _:
            return type(left) is type(right) and left == right


@pytest.mark.parametrize(("annotation", "values"), ANNOTATED, ids=lambda part: str(part)[:40])
@settings(max_examples=30)
@given(data=st.data())
def test_what_a_step_returns_is_what_its_downstream_gets(
    annotation: Any, values: st.SearchStrategy[Any], data: st.DataObject
) -> None:
    value = data.draw(values)
    stored = payload.encode_result("up", annotation, value)
    assert same(payload.decode_result("down", "parameter", "up", annotation, stored), value)


def test_a_number_that_is_none_comes_back_where_nothing_is_known_of_its_place() -> None:
    value = Reading(float("nan"), children=[Reading(float("nan"))])
    stored = payload.encode_result("up", Line | Reading, value)
    assert same(payload.decode_result("down", "parameter", "up", Line | Reading, stored), value)


class Aliased(BaseModel):
    """Aliases, computed fields and a refusal of anything else: it must read what it has written."""

    model_config = ConfigDict(extra="forbid")

    first_name: str = Field(alias="firstName")
    amount: int = Field(validation_alias="in", serialization_alias="out")

    @computed_field
    @property
    def initial(self) -> str:
        return self.first_name[:1]


def test_a_model_with_aliases_and_computed_fields_comes_back() -> None:
    value = Aliased.model_validate({"firstName": "Ada", "in": 3})
    assert payload.decode_result("down", "up", "up", Aliased, payload.encode_result("up", Aliased, value)) == value


def test_a_model_reads_aliases_that_an_untyped_upstream_gives() -> None:
    stored = payload.encode_result("up", Any, {"firstName": "Ada", "in": 3})
    assert payload.decode_result("down", "up", "up", Aliased, stored).first_name == "Ada"


class Constants(BaseModel):
    """What it writes for NaN is no JSON."""

    model_config = ConfigDict(ser_json_inf_nan="constants")

    value: float
    name: str = "NaN and Infinity"


@pytest.mark.parametrize("constant", ["NaN", "Infinity", "-Infinity"])
def test_what_a_model_writes_as_a_constant_that_is_no_json_is_refused(constant: str) -> None:
    """PostgreSQL would refuse it with each attempt, and with it the transaction of whoever inserts."""
    with pytest.raises(ResultNotSerializableError, match=f"{constant} is not JSON"):
        payload.encode_result("up", list[Constants], [Constants(value=float(constant))])


def test_a_text_that_reads_like_such_a_constant_is_no_such_constant() -> None:
    value = Constants(value=1.5)
    stored = payload.encode_result("up", Constants, value)
    assert payload.decode_result("down", "parameter", "up", Constants, stored) == value


def test_an_iterable_can_be_read_twice() -> None:
    value = payload.decode_result("down", "up", "up", Iterable[int], "[1,2]")
    assert (sum(value), sum(value)) == (3, 3)


def test_the_items_of_an_iterable_are_validated_before_the_function_runs() -> None:
    with pytest.raises(StoredValueError, match="unable to parse string as an integer"):
        payload.decode_result("down", "up", "up", Iterable[int], '[1,"x"]')


def test_the_order_of_a_union_is_the_one_that_was_written() -> None:
    class Left(BaseModel):
        x: int

    class Right(BaseModel):
        x: int

    assert type(payload.decode_result("down", "up", "up", Left | Right, '{"x":1}')) is Left
    assert type(payload.decode_result("down", "up", "up", Right | Left, '{"x":1}')) is Right


def test_an_absent_result_is_none() -> None:
    assert payload.decode_result("down", "up", "up", int, None) is None


def test_unhashable_metadata_is_no_obstacle() -> None:
    assert payload.encode(Annotated[int, {"unit": "m"}], 3) == "3"


@given(big | text | st.lists(big))
def test_an_input_comes_back_from_a_parsed_row(value: Any) -> None:
    annotation = int | str | list[int]
    row = json.loads(payload.encode(annotation, value))
    assert same(payload.decode_input("step", "value", annotation, row), value)


def test_an_input_of_another_shape_comes_back_from_a_parsed_row() -> None:
    assert payload.decode_input("step", "pair", tuple[int, dt.date], [1, "2026-11-22"]) == (1, dt.date(2026, 11, 22))


@pytest.mark.parametrize(
    ("annotation", "value", "sentence"),
    [
        (int, "x", 'step "s" returned str, which is no int: Input should be a valid integer, '),
        (list[int], [1, "x"], 'step "s" returned list, which is no list[int]: 1: Input should be a valid integer, '),
        (None, 3, 'step "s" returned int, which is no None: Input should be None'),
        (str, "\ud800", 'step "s" returned str, which JSON can\'t carry as str: '),
        (Any, object(), 'step "s" returned object, which JSON can\'t carry as Any: '),
        (Any, {1: object()}, 'step "s" returned dict, which JSON can\'t carry as Any: '),
        (dict[frozenset[int], int], {frozenset({1}): 1}, 'step "s" returned dict, which JSON can\'t carry as dict['),
        (range, range(3), 'step "s" returned range, which JSON can\'t carry as range: '),
        (Decimal, Decimal("NaN"), 'step "s" returned Decimal, which is no Decimal: Input should be a finite number'),
        (Iterable[int], ["x"], 'step "s" returned list, which JSON can\'t carry as '),
    ],
)
def test_what_does_not_fit_or_cannot_be_stored_is_refused(annotation: Any, value: Any, sentence: str) -> None:
    with pytest.raises(ResultNotSerializableError) as raised:
        payload.encode_result("s", annotation, value)
    assert str(raised.value).startswith(f"BTN502: {sentence}")
    assert "\n" not in str(raised.value)


def test_a_value_that_contains_itself_is_refused() -> None:
    loop: list[Any] = []
    loop.append(loop)
    with pytest.raises(ResultNotSerializableError):
        payload.encode_result("s", Any, loop)


def test_a_stored_value_that_no_longer_fits_names_both_sides() -> None:
    with pytest.raises(StoredValueError) as raised:
        payload.decode_result("report", "total", "orders", int, '"many"')
    assert str(raised.value).startswith(
        'BTN504: the stored result of "orders" is no int, which parameter "total" of step "report" expects: '
    )


def test_a_stored_input_that_no_longer_fits_names_the_step_and_the_input() -> None:
    with pytest.raises(StoredValueError, match='the stored input "region" of step "charge" is no int: '):
        payload.decode_input("charge", "region", int, "eu")


def test_the_limit_counts_bytes_not_characters(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BATON_RESULT_LIMIT", "4")
    assert payload.encode_result("s", str, "é") == '"é"'
    with pytest.raises(ResultTooLargeError, match='step "s" returned 6 bytes of JSON, the limit is 4'):
        payload.encode_result("s", str, "éé")


@pytest.mark.parametrize("limit", ["16 MiB", "-1", "1e6"])
def test_a_limit_that_is_no_number_is_a_sentence(monkeypatch: pytest.MonkeyPatch, limit: str) -> None:
    monkeypatch.setenv("BATON_RESULT_LIMIT", limit)
    with pytest.raises(ValueError, match=f"BATON_RESULT_LIMIT must be a whole number of bytes, got '{limit}'"):
        payload.encode_result("s", str, "")


def test_an_input_that_does_not_fit_is_pydantics_error() -> None:
    with pytest.raises(ValidationError):
        payload.encode(int, "x")
