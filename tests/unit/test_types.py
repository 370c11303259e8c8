"""Which type fits where: live annotations as terms, and the verdicts of static typing on them."""

import collections
import datetime as dt
import os
import pathlib
import typing
from collections.abc import (
    Callable,
    Collection,
    Hashable,
    Iterable,
    Iterator,
    Mapping,
    MutableSequence,
    Sequence,
    Sized,
)
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from decimal import Decimal
from enum import Enum, IntEnum, StrEnum
from typing import Annotated, Any, Generic, Literal, NamedTuple, NewType, NotRequired, Protocol, TypedDict, TypeVar
from uuid import UUID

import pydantic
import pytest
import typing_extensions
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from baton_dsl.core.spec import UNKNOWN
from baton_dsl.core.terms import Instance
from baton_dsl.core.types import STANDARD, TermTypes, union
from baton_dsl.reflect import LIVE_TYPES, term_of

UserId = NewType("UserId", str)
AdminId = NewType("AdminId", UserId)
T = TypeVar("T")


class Animal(BaseModel):
    name: str


class Dog(Animal):
    breed: str


class Box(BaseModel, Generic[T]):  # noqa: UP046 - the old spelling is to work as well
    content: T


class IntBox(Box[int]):
    pass


class Crate[T](BaseModel):
    content: T


@dataclass
class Point:
    x: int


@dataclass
class Point3D(Point):
    z: int


class Pair[K, V]:
    key: K
    value: V


class Reversed[A, B](Pair[B, A]):
    pass


class Names(list[str]):
    pass


class Color(Enum):
    RED = "red"
    BLUE = "blue"


class Size(StrEnum):
    S = "s"
    M = "m"


class Level(IntEnum):
    LOW = 1


class Movie(TypedDict):
    title: str
    year: int


class MovieWithGenre(Movie):
    genre: str


class MaybeMovie(TypedDict):
    title: str
    year: NotRequired[int]


class OtherYear(TypedDict):
    title: str
    year: str


class TextMovie(typing_extensions.TypedDict):
    title: str
    year: int


class HasName(Protocol):
    name: str


class Named(NamedTuple):
    first: str
    last: str


class Countdown:
    def __iter__(self) -> Iterator[int]:
        return iter((3, 2, 1))


class FromAny(typing.cast("type", Any)):
    pass


type Tree = dict[str, Tree] | list[Tree] | int
type Texts = list[str]
type Swapped[K, V] = dict[V, K]
type Ignored[X] = int
type Itself[X] = X
type Maybe[X] = X | None

YES, NO, SILENT = True, False, None

VERDICTS = [
    # the numeric tower
    (int, int, YES),
    (bool, int, YES),
    (int, float, YES),
    (bool, complex, YES),
    (float, int, NO),
    (int, bool, NO),
    (Decimal, float, NO),
    (int, str, NO),
    # None and unions
    (None, None, YES),
    (None, int | None, YES),
    (int, int | None, YES),
    (int | None, int, NO),
    (bool | int, float, YES),
    (int | str, str | bytes | int, YES),
    (int | str | None, int | str, NO),
    (None, object, YES),
    (typing.Optional[int], int | None, YES),  # noqa: UP045
    # Any
    (Any, int, YES),
    (int, Any, YES),
    (list[Any], list[int], YES),
    (list[int], list[Any], YES),
    (FromAny, int, SILENT),
    # literals
    (Literal["a"], str, YES),
    (Literal["a"], Literal["a", "b"], YES),
    (Literal["c"], Literal["a", "b"], NO),
    (str, Literal["a"], NO),
    (Literal[1], Literal[True], NO),
    (bool, Literal[True, False], YES),
    (bool, Literal[True], NO),
    (bool, Literal[True, False] | None, YES),
    (Literal[Color.RED], Color, YES),
    (Literal[Size.S], str, YES),
    (Color, Literal[Color.RED], NO),
    (Color, Literal[Color.RED, Color.BLUE], SILENT),
    # NewType
    (UserId, str, YES),
    (str, UserId, NO),
    (AdminId, UserId, YES),
    (AdminId, str, YES),
    (UserId, AdminId, NO),
    (list[UserId], Sequence[str], YES),
    # tuples
    (tuple[int, str], tuple[int, str], YES),
    (tuple[bool, str], tuple[int, object], YES),
    (tuple[int], tuple[int, int], NO),
    (tuple[int, int], tuple[int, ...], YES),
    (tuple[int, ...], tuple[int, int], NO),
    (tuple[int, str], Sequence[int | str], YES),
    (tuple[int, str], Sequence[int], NO),
    (tuple[()], tuple[int, ...], YES),
    (tuple, tuple[int, ...], YES),
    (typing.Tuple, tuple[int, ...], YES),  # noqa: UP006
    (tuple[int, str], typing.Tuple, YES),  # noqa: UP006
    (tuple[int, str], tuple[int, *tuple[str, ...]], SILENT),
    (Named, tuple[str, ...], YES),
    (Named, Sequence[int], NO),
    # collections
    (list[int], list[float], NO),
    (list[int], Sequence[float], YES),
    (list[int], Iterable[int], YES),
    (list[int], Collection[object], YES),
    (list[int], MutableSequence[int], YES),
    (Sequence[int], list[int], NO),
    (list, list[int], YES),
    (list[int], list, YES),
    (typing.List[int], list[int], YES),  # noqa: UP006
    (set[int], AbstractSet[float], YES),
    (set[int], frozenset[int], NO),
    (dict[str, int], Mapping[str, float], YES),
    (dict[str, int], Mapping[object, int], NO),
    (dict[str, int], dict[str, float], NO),
    (dict[str, int], Iterable[str], YES),
    (dict[str, list[int]], dict[str, list[str]], NO),
    (collections.defaultdict[str, int], dict[str, int], YES),
    (collections.Counter[str], Mapping[str, int], YES),
    (str, Sequence[str], YES),
    (int, Iterable[int], NO),
    (str, Sized, YES),
    (int, Sized, NO),
    (str, Hashable, SILENT),
    (Names, list[str], YES),
    (Names, list[int], NO),
    (Names, Sequence[object], YES),
    (Countdown, Iterable[int], SILENT),
    (Animal, Iterable[Any], SILENT),
    # the standard library
    (dt.datetime, dt.date, YES),
    (dt.date, dt.datetime, NO),
    (UUID, str, NO),
    (pathlib.PosixPath, pathlib.Path, YES),
    (pathlib.Path, str | os.PathLike[str], YES),
    (str, str | os.PathLike[str], YES),
    (str, pathlib.Path, NO),
    (Size, str, YES),
    (str, Size, NO),
    (Level, int, YES),
    (Color, str, NO),
    (Color, Enum, YES),
    # classes
    (Dog, Animal, YES),
    (Animal, Dog, NO),
    (Animal, BaseModel, YES),
    (list[Dog], list[Animal], NO),
    (list[Dog], Sequence[Animal], YES),
    (Point3D, Point, YES),
    (Point, Animal, NO),
    (dict[str, Any], Animal, NO),
    (IntBox, Box[int], YES),
    (Box[int], Box[int], YES),
    (Box[int], Box, YES),
    (Box[int], Box[str], SILENT),
    (Box[int], Animal, NO),
    (Crate[int], Crate[int], YES),
    (Reversed[int, str], Pair[str, int], YES),
    (Reversed[int, str], Pair[int, str], SILENT),
    (Animal, HasName, SILENT),
    (int, HasName, SILENT),
    (Callable[[int], int], Callable[[str], str], YES),
    # TypedDict
    (MovieWithGenre, Movie, YES),
    (Movie, MovieWithGenre, NO),
    (Movie, OtherYear, NO),
    (Movie, MaybeMovie, NO),
    (Movie, TextMovie, YES),
    (Movie, Mapping[str, object], YES),
    (Movie, Mapping[str, int], NO),
    (Movie, dict[str, object], NO),
    (dict[str, object], Movie, NO),
    (Animal, Movie, NO),
    # aliases
    (Texts, list[str], YES),
    (list[int], Texts, NO),
    (Swapped[str, int], dict[int, str], YES),
    (Swapped[str, int], dict[str, int], NO),
    (Ignored[str], int, YES),
    (Itself[str], str, YES),
    (Maybe[int], int, NO),
    (int, Maybe[int], YES),
    (Tree, Tree, SILENT),
    (int, Tree, YES),
    (Annotated[int, "metres"], int, YES),
    (Annotated[Texts, "words"], list[str], YES),
    (Annotated[Swapped[str, int], "odd"], dict[int, str], YES),
    # what pydantic reads as something that a type checker does not see
    (str, pydantic.EmailStr, SILENT),
    (dt.datetime, pydantic.AwareDatetime, SILENT),
    (pydantic.PositiveInt, int, YES),
    (str, pydantic.StrictStr, YES),
    # unknown
    (T, int, SILENT),
    (int, T, SILENT),
    ("Later", int, SILENT),
    (list["Later"], list[int], SILENT),  # noqa: F821
    (list["Later"], int, NO),  # noqa: F821
]


@pytest.mark.parametrize(
    ("source", "target", "verdict"),
    [pytest.param(*case, id=f"{number}-{case[0]}-to-{case[1]}") for number, case in enumerate(VERDICTS)],
)
def test_an_annotation_fits_where_a_type_checker_says_it_does(source: Any, target: Any, verdict: bool | None) -> None:
    assert LIVE_TYPES.assignable(term_of(source), term_of(target)) is verdict


# The table's own terms, put together at random: the laws hold for every type that can be written.
leaves = st.sampled_from([term_of(annotation) for case in VERDICTS for annotation in case[:2]])


@st.composite
def unions(draw: st.DrawFn) -> tuple[Any, ...]:
    return tuple(draw(st.lists(leaves, min_size=1, max_size=4)))


@given(leaves)
def test_every_type_fits_itself_or_is_unknown(term: Any) -> None:
    assert LIVE_TYPES.assignable(term, term) is not False


@given(leaves)
def test_every_known_type_is_an_object(term: Any) -> None:
    assert LIVE_TYPES.assignable(term, term_of(object)) is not False


@given(unions(), st.data())
def test_a_member_fits_its_union(members: tuple[Any, ...], data: st.DataObject) -> None:
    assert LIVE_TYPES.assignable(data.draw(st.sampled_from(members)), union(list(members))) is not False


@given(unions(), leaves)
def test_a_union_fits_exactly_where_all_its_members_fit(members: tuple[Any, ...], target: Any) -> None:
    verdicts = [LIVE_TYPES.assignable(member, target) for member in members]
    whole = LIVE_TYPES.assignable(union(list(members)), target)
    if whole is not None:
        assert whole is all(verdicts)
    else:
        assert False not in verdicts


@given(leaves, leaves)
def test_what_is_unknown_is_never_a_verdict(source: Any, target: Any) -> None:
    blind = TermTypes(lambda _: None)
    known = LIVE_TYPES.assignable(source, target)
    assert blind.assignable(source, target) in (known, None)
    assert LIVE_TYPES.assignable(UNKNOWN, source) in ((True, None) if source == term_of(object) else (None,))


@given(leaves)
def test_none_fits_only_where_none_is_a_member_or_everything_fits(term: Any) -> None:
    if LIVE_TYPES.accepts_none(term):
        shown = LIVE_TYPES.show(term)
        assert "None" in shown or shown in ("Any", "object"), shown


@given(leaves)
def test_a_type_is_shown_in_one_line_without_its_module(term: Any) -> None:
    shown = LIVE_TYPES.show(term)
    assert shown
    assert "\n" not in shown
    assert "#" not in shown
    assert "pydantic." not in shown


def test_two_classes_of_one_name_are_told_apart_but_shown_alike() -> None:
    def make() -> type:
        class Token(BaseModel):
            pass

        return Token

    first, second = term_of(make()), term_of(make())
    assert LIVE_TYPES.assignable(first, second) is False
    assert LIVE_TYPES.show(first) == LIVE_TYPES.show(second) == "Token"


@pytest.mark.parametrize(
    ("annotation", "shown"),
    [
        (dict[str, list[int] | None], "dict[str, list[int] | None]"),
        (str | int, "str | int"),
        (int | str, "int | str"),
        (tuple[int, ...], "tuple[int, ...]"),
        (tuple[()], "tuple[()]"),
        (None, "None"),
        (Literal["a", 1], "Literal[a] | Literal[1]"),
        (Literal[Color.RED], "Literal[Color.RED]"),
        (UserId, "UserId"),
        (Box[int], "Box[int]"),
        (Texts, "list[str]"),
        (pathlib.Path, "Path"),
    ],
)
def test_a_type_is_shown_as_users_write_it(annotation: Any, shown: str) -> None:
    assert LIVE_TYPES.show(term_of(annotation)).replace("'", "") == shown


@pytest.mark.parametrize(
    ("annotation", "part"),
    [
        (int, None),
        (Animal, None),
        (dict[UUID, list[Point]], None),
        (dict[tuple[int, int], str], "dict[tuple[int, int], str]"),
        (dict[str, dict[frozenset[int], str]], "dict[frozenset[int], str]"),
        (dict[Animal, str], "dict[Animal, str]"),
        (dict[str | None, str], "dict[str | None, str]"),
        (collections.Counter[tuple[int, int]], "Counter[tuple[int, int]]"),
        (dict[Color, int], None),
        (list[bytearray], "bytearray"),
        (int | Exception, "Exception"),
        (tuple[int, Callable[[], int]], "Callable"),
        (Iterator[int], "Iterator[int]"),
        (pydantic.SecretStr, "SecretStr"),
        (Movie, None),
        (Tree, None),
        (T, None),
    ],
)
def test_what_json_cannot_carry_is_named(annotation: Any, part: str | None) -> None:
    assert LIVE_TYPES.unserializable(term_of(annotation)) == part


@pytest.mark.parametrize(
    ("annotation", "item"),
    [
        (list[int], "int"),
        (dict[str, int], "tuple[str, int]"),
        (dict, "?"),
        (Movie, "tuple[str, object]"),
        (Size, None),
        (Animal, None),
        (tuple[int, str], "int | str"),
        (tuple[int, ...], "int"),
        (list[int] | set[str], "int | str"),
        (Names, "str"),
        (str, None),
        (bytes, None),
        (int, None),
        (list[int] | int, None),
        (list, "?"),
        (T, "?"),
        (Any, "?"),
    ],
)
def test_the_items_of_a_collection_have_its_item_type(annotation: Any, item: str | None) -> None:
    found = LIVE_TYPES.item_of(term_of(annotation))
    assert (None if found is None else LIVE_TYPES.show(found)) == item


def test_what_a_class_of_the_standard_library_derives_from_is_known_too() -> None:
    for name, facts in STANDARD.items():
        assert facts.bases is not None, name
        assert all(isinstance(base, Instance) and base.name in STANDARD for base in facts.bases), name


def test_classes_of_one_short_name_are_told_apart_wherever_they_stand_and_others_stay_short() -> None:
    types = TermTypes({}.get)
    one, other, user = Instance("app.a.Order"), Instance("app.b.Order"), Instance("app.a.User")
    listed = Instance("builtins.list", (one,))
    assert types.apart(listed, other) == ("list[app.a.Order]", "app.b.Order")
    assert types.apart(union([one, user]), Instance("builtins.list", (user,))) == ("Order | User", "list[User]")
    assert types.apart(Instance("app.a.list", (user,)), listed) == ("app.a.list[User]", "list[Order]")
