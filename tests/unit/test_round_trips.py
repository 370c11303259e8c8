"""A result of a step comes back unchanged, or is refused at once with the path of the difference."""

from __future__ import annotations

import collections
import datetime as dt
import enum
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Generic, Literal, NamedTuple, TypedDict, TypeVar
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    GetCoreSchemaHandler,
    PlainSerializer,
    PrivateAttr,
    RootModel,
    SecretStr,
    SerializeAsAny,
    Tag,
    computed_field,
    field_serializer,
)
from pydantic_core import CoreSchema, core_schema

from baton_dsl.errors import ResultNotSerializableError
from baton_dsl.runtime.values import payload

T = TypeVar("T")


class Token(BaseModel):
    value: SecretStr
    count: int = 3


class Revealed(BaseModel):
    value: SecretStr

    @field_serializer("value")
    def reveal(self, value: SecretStr) -> str:
        return value.get_secret_value()


class Price(BaseModel):
    x: float
    y: float | None = None


class Lossless(BaseModel):
    model_config = ConfigDict(ser_json_inf_nan="strings")

    x: float


class Animal(BaseModel):
    name: str


class Dog(Animal):
    breed: str = "mutt"


class Kennel(BaseModel):
    guests: list[Animal]


class Zoo(BaseModel):
    guests: list[SerializeAsAny[Animal]]


class Tree(BaseModel):
    kids: list[Tree] = []


class Colour(enum.Enum):
    RED = "red"
    TWO = 2


class Level(enum.IntEnum):
    LOW = 1


class Hidden(BaseModel):
    name: str
    password: str = Field(exclude=True)


class HiddenDefault(BaseModel):
    name: str
    note: str = Field(default="", exclude=True)


class Doubling(BaseModel):
    n: Annotated[int, AfterValidator(lambda n: n * 2)]


class Split(BaseModel):
    parts: Annotated[list[str], BeforeValidator(lambda text: text.split(","))]


class Trimmed(BaseModel):
    name: Annotated[str, AfterValidator(str.strip)]


class Cached(BaseModel):
    n: int
    _square: int | None = PrivateAttr(default=None)

    @computed_field
    @property
    def twice(self) -> int:
        return self.n * 2


class Aliased(BaseModel):
    model_config = ConfigDict(serialize_by_alias=True)

    first_name: str = Field(alias="firstName")


class OneWay(BaseModel):
    model_config = ConfigDict(ser_json_bytes="hex")

    raw: bytes


class Open(BaseModel):
    model_config = ConfigDict(extra="allow")

    n: int


class ById(BaseModel):
    """Two are equal if their ids are, whatever else is in them."""

    id: int
    note: str = Field(default="", exclude=True)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ById) and other.id == self.id

    __hash__ = None  # type: ignore[assignment]


class Cat(BaseModel):
    kind: Literal["cat"] = "cat"
    lives: int


class Fish(BaseModel):
    kind: Literal["fish"] = "fish"
    fins: int


class Box(BaseModel, Generic[T]):  # noqa: UP046 - the old spelling is to work as well
    content: T


class Names(RootModel[list[str]]):
    pass


@dataclass
class Point:
    x: float
    tags: set[str] = field(default_factory=set)


@dataclass
class Pixel(Point):
    colour: str = ""


class Row(TypedDict, total=False):
    id: int
    at: dt.datetime


class Pair(NamedTuple):
    first: int
    second: str


class Opaque:
    """A class with a way through JSON of its own, and without `==`."""

    def __init__(self, text: str) -> None:
        self.text = text

    @classmethod
    def __get_pydantic_core_schema__(cls, _source: Any, _handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.json_or_python_schema(
            json_schema=core_schema.no_info_after_validator_function(cls.read, core_schema.str_schema()),
            python_schema=core_schema.is_instance_schema(cls),
            serialization=core_schema.plain_serializer_function_ser_schema(lambda it: it.text),
        )

    @classmethod
    def read(cls, text: str) -> Opaque:
        return cls(text)


class Forgetful(Opaque):
    @classmethod
    def read(cls, text: str) -> Forgetful:
        return cls(text[:1])


def nested(depth: int) -> Tree:
    tree = Tree()
    for _ in range(depth):
        tree = Tree(kids=[tree])
    return tree


def deep(depth: int) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = [value]
    return value


def changed(model: BaseModel, name: str, value: object) -> Any:
    """A model with a field of the wrong type, which pydantic allows."""
    setattr(model, name, value)
    return model


def moments(value: Any) -> list[float]:
    """`==` denies what is equal in the hour that comes twice."""
    return [it.timestamp() for it in (value if isinstance(value, list) else [value])]


def shown(part: object) -> str:
    """A short id; the digits of a huge number can't be had."""
    return (
        "huge"
        if isinstance(part, int) and part.bit_length() > 999
        else repr(part)[:30]
        if type(part) is not list
        else "list"
    )


Pet = Annotated[Cat | Fish, Field(discriminator="kind")]
Tagged = Annotated[
    Annotated[Cat, Tag("c")] | Annotated[Fish, Tag("f")], Discriminator(lambda it: "c" if "lives" in str(it) else "f")
]
noon = dt.datetime(2026, 6, 1, 12, tzinfo=ZoneInfo("Europe/Berlin"))
twice = dt.datetime(2026, 10, 25, 2, 30, fold=1, tzinfo=ZoneInfo("Europe/Berlin"))


@pytest.mark.parametrize(
    ("annotation", "value", "sentence"),
    [
        (Token, Token(value=SecretStr("x")), "value: a secret is written as asterisks"),
        (list[Token], [Token(value=SecretStr("x"))], "0.value: a secret is written as asterisks"),
        (SecretStr, SecretStr("x"), "a secret is written as asterisks"),
        (Any, {"key": SecretStr("x")}, "key: a secret is written as asterisks"),
        (Any, [Token(value=SecretStr("x"))], "0.value: a secret is written as asterisks"),
        (Price, Price(x=1, y=math.nan), "y: NaN comes back as None"),
        (Price, Price(x=1, y=math.inf), "y: float comes back as None"),
        (dict[str, Price], {"a": Price(x=math.nan)}, "a.x: Input should be a valid number"),
        (Any, {"loss": [1.0, math.nan]}, "loss.1: NaN comes back as str"),
        (Animal, Dog(name="a"), "Dog comes back as Animal"),
        (Kennel, Kennel(guests=[Animal(name="a"), Dog(name="b")]), "guests.1: Dog comes back as Animal"),
        (Zoo, Zoo(guests=[Dog(name="b")]), "guests.0: Dog comes back as Animal"),
        (Point, Pixel(1.0), "Pixel comes back as Point"),
        (Box[Animal], Box[Animal](content=Dog(name="a")), "content: Dog comes back as Animal"),
        (Tree, nested(150), "Invalid JSON: recursion limit exceeded"),
        (Any, deep(220), "Invalid JSON: recursion limit exceeded"),
        (Literal[Colour.RED], Colour.RED, "Input should be <Colour.RED: 'red'>"),
        (dict[Colour, int], {Colour.TWO: 1}, "2.[key]: Input should be"),
        (dict[Literal[1, 2], int], {1: 1}, "1.[key]: Input should be 1 or 2"),
        (int, 10**5000, "Invalid JSON: number out of range"),
        (list[int], [1, 10**4400, *range(20_000)], "Invalid JSON: number out of range"),
        (dict[int | str, str], {1: "a", "1": "b"}, "two of its keys are written alike"),
        (Any, {1: "a", "1": "b"}, "two of its keys are written alike"),
        (Any, {"x": {"a": 1, "b": {1: "a", "1": "b"}}}, "x.b: two of its keys are written alike"),
        (dict[str, int], {"\ud800": 1}, "\ud800: the key comes back as another one"),
        (Hidden, Hidden(name="a", password="b"), "password: Field required"),
        (HiddenDefault, HiddenDefault(name="a", note="b"), "note: str comes back as another one"),
        (ById, ById(id=1, note="b"), "note: str comes back as another one"),
        (Doubling, Doubling(n=3), "n: int comes back as another one"),
        (Split, Split.model_construct(parts=["a"]), "AttributeError: 'list' object has no attribute 'split'"),
        (OneWay, OneWay(raw=b"\x01"), "raw: bytes comes back as another one"),
        (Animal, changed(Animal(name="a"), "name", 3), "name: Input should be a valid string"),
        (str | dt.date, dt.date(2026, 1, 1), "date comes back as str"),
        (list[int] | tuple[int, ...], (1, 2), "tuple comes back as list"),
        (set[str] | list[str], ["a"], "list comes back as set"),
        (UUID | str, str(UUID(int=1)), "str comes back as UUID"),
        (Annotated[int, PlainSerializer(lambda n: n + 1)], 3, "int comes back as another one"),
        (Forgetful, Forgetful("two"), "Forgetful comes back as another one"),
    ],
    ids=shown,
)  # fmt: skip
def test_what_would_not_come_back_is_refused_with_its_path(annotation: Any, value: Any, sentence: str) -> None:
    with pytest.raises(ResultNotSerializableError) as raised:
        payload.encode_result("s", annotation, value)
    start, found, end = str(raised.value).partition(f": {sentence}")
    assert found, str(raised.value)
    assert start.startswith(f'BTN502: step "s" returned {type(value).__name__}, which can\'t be read back as '), start
    assert "\n" not in end
    with pytest.raises(ValueError):
        payload.encode(annotation, value)


@pytest.mark.parametrize(
    ("annotation", "value"),
    [
        (Revealed, Revealed(value=SecretStr("x"))),
        (Lossless, Lossless(x=math.inf)),
        (Animal | Dog, Dog(name="a", breed="b")),
        (Pet, Fish(fins=2)),
        (list[Pet], [Cat(lives=9), Fish(fins=2)]),
        (Tagged, Cat(lives=9)),
        (Tree, nested(40)),
        (dict[Level, int], {Level.LOW: 1}),
        (Trimmed, Trimmed(name=" a ")),
        (Aliased, Aliased(firstName="Ada")),
        (Open, Open(n=1, more=[1, "a"])),
        (Names, Names(["a"])),
        (dict[str, Names], {"a": Names(["a"])}),
        (Box[set[int]], Box[set[int]](content={1, 2})),
        (Point, Point(1.0, {"a"})),
        (Row, {"id": 1, "at": noon}),
        (Row, {}),
        (Pair, Pair(1, "a")),
        (Decimal, Decimal("1.00")),
        (dt.datetime, twice),
        (list[dt.datetime], [noon, twice]),
        (bytes, b"\xff"),
        (dict[str, str], {"a": "\ufffd"}),
        (int, 10**4000),
        (str, "9" * 5000),
        (HiddenDefault, HiddenDefault(name="a")),
        (Any, {"a": [1, 2.5, True, None, "b"], "b": {}}),
        (Level | Colour, Colour.TWO),
    ],
    ids=shown,
)  # fmt: skip
def test_what_comes_back_as_it_was_passes(annotation: Any, value: Any) -> None:
    decoded = payload.decode(annotation, payload.encode_result("s", annotation, value))
    assert type(decoded) is type(value)
    assert decoded == value or repr(moments(decoded)) == repr(moments(value))
    assert payload.decode(annotation, payload.encode(annotation, value)) == decoded


def test_the_digits_of_a_decimal_come_back() -> None:
    assert str(payload.decode(Decimal, payload.encode_result("s", Decimal, Decimal("1.00")))) == "1.00"


def test_a_class_without_equality_is_compared_by_what_it_writes() -> None:
    assert payload.encode_result("s", list[Opaque], [Opaque("a")]) == '["a"]'


def test_private_attributes_and_computed_fields_are_no_part_of_a_value() -> None:
    value = Cached(n=3)
    value._square = 9
    decoded = payload.decode(Cached, payload.encode_result("s", Cached, value))
    assert (decoded.n, decoded._square, decoded.twice) == (3, None, 6)


def test_nan_is_nan() -> None:
    values: list[tuple[Any, Any]] = [
        (float, math.nan),
        (list[float], [math.nan, 1.0]),
        (set[float], {math.nan, 1.0}),
        (Lossless, Lossless(x=math.nan)),
        (dict[str, tuple[float, ...]], {"a": (math.nan,)}),
        (Point, Point(math.nan)),
        (float | str, math.nan),
    ]
    for annotation, value in values:
        if annotation == float | str:  # a text in JSON, and so in a union with texts
            with pytest.raises(ResultNotSerializableError, match="NaN comes back as str"):
                payload.encode_result("s", annotation, value)
        else:
            payload.encode_result("s", annotation, value)


@pytest.mark.parametrize(
    ("annotation", "value", "comes_back"),
    [
        (Sequence[int], (1, 2), [1, 2]),
        (Sequence[int], collections.deque([1]), [1]),
        (Iterable[int], {1}, [1]),
        (Mapping[str, int], collections.OrderedDict(a=1), {"a": 1}),
        (AbstractSet[int], frozenset({1}), {1}),
        (dict[str, Sequence[int]], {"a": (1,)}, {"a": [1]}),
    ],
)
def test_where_the_annotation_names_no_class_that_of_a_collection_is_free(
    annotation: Any, value: Any, comes_back: Any
) -> None:
    decoded = payload.decode(annotation, payload.encode_result("s", annotation, value))
    assert decoded == comes_back


def test_the_items_of_such_a_collection_are_compared_all_the_same() -> None:
    with pytest.raises(ResultNotSerializableError, match=r": 1: Dog comes back as Animal"):
        payload.encode_result("s", Sequence[Animal], (Animal(name="a"), Dog(name="b")))


LOOSE: list[tuple[Any, Any]] = [
    ((1, 2), [1, 2]),
    ({3}, [3]),
    (dt.date(2026, 1, 2), "2026-01-02"),
    (dt.datetime(2026, 1, 2, 3, tzinfo=dt.UTC), "2026-01-02T03:00:00Z"),
    (dt.timedelta(seconds=90), "PT1M30S"),
    (UUID(int=1), "00000000-0000-0000-0000-000000000001"),
    (Decimal("1.50"), "1.50"),
    (Path("a/b"), "a/b"),
    (Colour.RED, "red"),
    (Level.LOW, 1),
    (b"ab", "YWI="),
    (Animal(name="a"), {"name": "a"}),
    (Dog(name="a"), {"name": "a", "breed": "mutt"}),
    (Point(1.5, {"a"}), {"x": 1.5, "tags": ["a"]}),
    (Pair(1, "a"), [1, "a"]),
    ({2: "a", None: "b", True: "c", 1.5: "d"}, {"2": "a", "None": "b", "true": "c", "1.5": "d"}),
    ({dt.date(2026, 1, 2): 1}, {"2026-01-02": 1}),
]
"""What docs/reference/options.md says of values where the annotation says `Any`."""


@pytest.mark.parametrize("within", [lambda it: it, lambda it: {"key": [it]}], ids=["alone", "within"])
@pytest.mark.parametrize(("value", "comes_back"), LOOSE, ids=shown)
def test_what_is_annotated_any_comes_back_as_json_has_it(
    value: Any, comes_back: Any, within: Callable[[Any], Any]
) -> None:
    for annotation in (Any, dict[str, Any] if isinstance(within(value), dict) else Any):
        if annotation != Any and not all(isinstance(key, str) for key in within(value)):
            continue
        decoded = payload.decode(annotation, payload.encode_result("s", annotation, within(value)))
        assert decoded == within(comes_back)


# --- the law ---------------------------------------------------------------------------------------------------------

text = st.text(max_size=4)
keys = st.sampled_from([str, int, bool, float, dt.date, UUID, Colour, Level, Decimal, Literal["a", "b"]])
LEAVES: dict[Any, st.SearchStrategy[Any]] = {
    type(None): st.none(),
    bool: st.booleans(),
    int: st.integers(),
    float: st.floats(),
    str: st.text(st.characters(), max_size=4),
    bytes: st.binary(max_size=4),
    Decimal: st.decimals(allow_nan=False, allow_infinity=False),
    dt.date: st.dates(),
    dt.datetime: st.datetimes(timezones=st.none() | st.timezones()),
    dt.time: st.times(),
    dt.timedelta: st.timedeltas(),
    UUID: st.uuids(),
    Colour: st.sampled_from(Colour),
    Level: st.sampled_from(Level),
    Literal["a", "b"]: st.sampled_from(["a", "b"]),
    Price: st.builds(Price, x=st.floats(), y=st.none() | st.floats()),
    Animal: st.builds(Animal, name=text) | st.builds(Dog, name=text, breed=text),
    Dog: st.builds(Dog, name=text, breed=text),
    Pet: st.builds(Cat, lives=st.integers()) | st.builds(Fish, fins=st.integers()),
    Point: st.builds(Point, st.floats(), st.sets(text, max_size=2)) | st.builds(Pixel, st.floats()),
    Pair: st.builds(Pair, st.integers(), text),
    Names: st.builds(Names, st.lists(text, max_size=2)),
    Open: st.integers().map(lambda n: Open(n=n, more=n)),
}


@st.composite
def annotated(draw: st.DrawFn, depth: int = 3) -> tuple[Any, st.SearchStrategy[Any]]:
    """An annotation and a strategy for values of exactly the types that it names."""
    kind = draw(st.integers(0, 9 if depth else 3))
    if kind <= 3:
        leaf = draw(st.sampled_from(list(LEAVES)))
        return leaf, LEAVES[leaf]
    inner, values = draw(annotated(depth - 1))
    match kind:
        case 4:
            return list[inner], st.lists(values, max_size=3)
        case 5:
            key = draw(keys)
            return dict[key, inner], st.dictionaries(LEAVES[key], values, max_size=3)
        case 6:
            other, others = draw(annotated(depth - 1))
            return tuple[inner, other], st.tuples(values, others)
        case 7:
            return tuple[inner, ...], st.lists(values, max_size=3).map(tuple)
        case 8:
            leaf = draw(keys)
            return set[leaf], st.sets(LEAVES[leaf], max_size=3)
        case _:
            other, others = draw(annotated(depth - 1))
            return inner | other if inner is not other else inner, values | others


def same(left: object, right: object) -> bool:
    """Equal, of the same types; by code that shares nothing with what is tested."""
    if type(left) is not type(right):
        return False
    match left, right:
        case float(), float():
            return left == right or (math.isnan(left) and math.isnan(right))
        case dt.datetime(), dt.datetime() if left.tzinfo and right.tzinfo:
            return left.timestamp() == right.timestamp()
        case ((list() | tuple()), (list() | tuple())):
            return len(left) == len(right) and all(map(same, left, right))
        case dict(), dict():
            return same(list(left.items()), list(right.items()))
        case set(), set():
            return same(sorted(left, key=repr), sorted(right, key=repr))
        case BaseModel(), BaseModel():
            return same(vars(left), vars(right)) and same(left.model_extra, right.model_extra)
        case Point(), Point():
            return same(vars(left), vars(right))
        case _:
            return left == right


@settings(max_examples=400, deadline=None)
@given(data=st.data())
def test_a_value_is_refused_or_comes_back_equal_and_of_its_types(data: st.DataObject) -> None:
    annotation, values = data.draw(annotated())
    value = data.draw(values)
    fitted = payload.adapter(annotation).validate_python(value)  # a union may take an int for a bool
    try:
        stored = payload.encode_result("s", annotation, value)
    except ResultNotSerializableError:
        return
    assert same(payload.decode_result("t", "p", "s", annotation, stored), fitted)
