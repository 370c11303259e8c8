"""Source text and live functions give the same terms: so verdict and words are the same at both doors."""

import importlib.util
from pathlib import Path

import pytest
from baton_lint.program.annotations import Annotations
from baton_lint.program.classes import Classes
from baton_lint.program.names import Names
from baton_lint.program.project import Files, Project
from baton_lint.source.expressions import parse
from baton_lint.source.extracting import extract
from hypothesis import given, settings
from hypothesis import strategies as st

from baton_dsl.core.types import Instance, Term, TupleOf, UnionOf
from baton_dsl.reflect import LIVE_TYPES, term_of

HEAD = """\
import collections.abc
import datetime as dt
import decimal, enum, pathlib, types, typing, uuid
import typing as t
from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Dict, List, Literal, Optional, Set, Tuple, Type, Union

from baton_dsl import Input

type Pair[T] = tuple[T, T]
type Deep[T] = dict[str, Pair[T]]
Plain = list[int]
Maybe = Optional[str]
"""

SCOPE: dict[str, object] = {}
exec(HEAD, SCOPE)

ATOMS = (
    *("int", "str", "float", "bool", "bytes", "None", "Any", "object", "datetime", "dt.date", "uuid.UUID", "Path"),
    *("decimal.Decimal", "enum.Enum", "pathlib.PurePath", "list", "dict", "tuple", "Plain", "Maybe", "typing.List"),
    *("Literal[1, 'a', None, True]", "Literal[-1]", "tuple[()]", "Callable", "Callable[[int], str]", "Input[int]"),
    *("t.Any", "collections.abc.Sized", "Type[int]", "type[int]", "Counter[str]", "types.ModuleType", "Dict"),
)
SHAPES = (
    *("list[{0}]", "List[{0}]", "set[{0}]", "Set[{0}]", "deque[{0}]", "Sequence[{0}]", "Iterable[{0}]", "Pair[{0}]"),
    *("Optional[{0}]", "tuple[{0}, ...]", "Tuple[{0}, {1}]", "dict[{0}, {1}]", "Mapping[{0}, {1}]", "Deep[{0}]"),
    *("Union[{0}, {1}]", "typing.Annotated[{0}, 'x']", "defaultdict[{0}, {1}]", "OrderedDict[{0}, {1}]"),
)

annotations = st.recursive(
    st.sampled_from(ATOMS),
    lambda inner: st.builds(lambda shape, *parts: shape.format(*parts), st.sampled_from(SHAPES), inner, inner),
    max_leaves=6,
)


def text_term(source: str) -> Term:
    facts = extract(HEAD.encode())
    files = Files(["/m.py"], ["/"], lambda path: facts)
    translator = Annotations(Names(Project(files, "/", (), str)))
    return translator.term("/m.py", 0, parse(source, (1, 1, 1, 1)))


@given(annotations)
@settings(max_examples=300, deadline=None)
def test_text_and_life_give_the_same_term(source: str) -> None:
    live = term_of(eval(source, SCOPE))
    assert in_order(text_term(source)) == in_order(live)


def in_order(term: Term) -> Term:
    """With the items of unions sorted: typing's own caches take `a | b` for `b | a`."""
    match term:
        case UnionOf(items):
            return UnionOf(tuple(sorted(map(in_order, items), key=repr)))
        case TupleOf(items):
            return TupleOf(tuple(map(in_order, items)))
        case Instance(name, arguments):
            return Instance(name, tuple(map(in_order, arguments)))
        case _:
            return term


CLASSES = """\
import dataclasses, enum, socket
from typing import Generic, NamedTuple, NewType, Protocol, TypedDict, TypeVar
from pydantic import BaseModel

class Plain: ...
class Below(Plain): ...
class Model(BaseModel):
    x: int
class Derived(Model): ...
class Colour(enum.Enum):
    RED = 1
class Names(enum.StrEnum):
    A = "a"
class Point(NamedTuple):
    x: int
    y: int
class Row(TypedDict, total=False):
    id: int
@dataclasses.dataclass
class Line:
    start: Point
@dataclasses.dataclass
class Socket:
    socket: socket.socket
class Failure(Exception): ...
UserId = NewType("UserId", int)
class Box[T]:
    item: T
"""


@pytest.mark.parametrize(
    "name",
    [
        *("Plain", "Below", "Model", "Derived", "Colour", "Names"),
        *("Point", "Row", "Line", "Socket", "Failure", "UserId"),
    ],
)
def test_a_class_is_serializable_at_both_doors_or_at_none(name: str, tmp_path: Path) -> None:
    path = tmp_path / "shapes.py"
    path.write_text(CLASSES)
    spec = importlib.util.spec_from_file_location("shapes", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    files = Files([str(path)], [str(tmp_path)], lambda found: extract(path.read_bytes()))
    translator = Annotations(Names(Project(files, str(tmp_path), (), str)))
    types = Classes(translator).types
    term = translator.term(str(path), 0, parse(f"list[{name}]", (1, 1, 1, 1)))
    live = term_of(list[getattr(module, name)])
    assert types.unserializable(term) == LIVE_TYPES.unserializable(live)
    assert types.show(term) == LIVE_TYPES.show(live)
