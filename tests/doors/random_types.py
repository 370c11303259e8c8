"""Hypothesis strategies: random classes, aliases and annotations, as values that any module writes in its own words."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

from hypothesis import strategies as st

type Word = Callable[[str, str], str]
"""How a module writes a name of another module: `word("typing", "Any")`."""

type Annotation = tuple[str, ...] | tuple[object, ...]
"""A form, and what is in it: `("list", ("plain", "int"))`."""

PLAIN = ("int", "bool", "str", "float", "bytes", "None", "object")
STANDARD = (
    ("datetime", "date"),
    ("datetime", "datetime"),
    ("decimal", "Decimal"),
    ("uuid", "UUID"),
    ("pathlib", "Path"),
)
LITERALS = ("1", "'a'", "True", "None", "b'x'")
ONE = ("list", "set", "frozenset", "deque", "Sequence", "Iterable", "Collection", "Set", "tuple", "Each")
TWO = ("dict", "Mapping", "MutableMapping")
HOMES = {
    **dict.fromkeys(("Sequence", "Iterable", "Collection", "Set", "Mapping", "MutableMapping"), "collections.abc"),
    **dict.fromkeys(("deque",), "collections"),
}
KINDS = ("model", "dataclass", "typed dict", "named tuple", "enum", "plain", "new type", "text")
ALIASES = (
    *("Ids", "OldIds", "Json", "OldJson", "Metres", "OldMetres", "MaybeDate", "OldMaybeDate"),
    *("As", "OldAs", "QuotedAs", "TypedAs", "TypedText", "MaybeAs", "DeepAs"),
    *("Crate", "Words", "Table", "Level", "Colour", "Loose", "View", "Full", "Named", "Root", "Hidden", "Odd"),
)
"""Aliases that each module of models has, the second ones of its class `A`; and classes that it always has."""
GENERIC = ("Pair", "OldPair", "OldOrNone", "Page", "Box", "Stack")
"""What each module of models has that takes an argument."""


@dataclass(frozen=True)
class Class:
    """A class of a module of models.

    Attributes:
        name: Its name.
        kind: One of `KINDS`.
        base: The class of the same kind that it derives from, if any.
        fields: The types of its fields.
    """

    name: str
    kind: str
    base: str | None
    fields: tuple[Annotation, ...]


@dataclass(frozen=True)
class Models:
    """A module of models."""

    module: str
    classes: tuple[Class, ...]


@st.composite
def models(draw: st.DrawFn, module: str) -> Models:
    """A module of some classes; two modules may have classes of the same names."""
    classes: list[Class] = []
    for name in "ABCD"[: draw(st.integers(1, 4))]:
        kind = draw(st.sampled_from(KINDS))
        same = [
            each.name for each in classes if each.kind == kind and kind in ("model", "dataclass", "typed dict", "plain")
        ]
        base = draw(st.sampled_from([None, *same]))
        fields = draw(st.lists(annotations((), depth=1), max_size=2)) if kind not in ("enum", "text", "plain") else []
        classes.append(Class(name, kind, base, tuple(fields)))
    return Models(module, tuple(classes))


@cache  # a strategy is slow to make, and each is asked for hundreds of times
def annotations(known: tuple[Models, ...], *, depth: int = 2) -> st.SearchStrategy[Annotation]:
    """Annotations of what is known: simple ones first, so that examples shrink to them."""
    simple: list[st.SearchStrategy[Annotation]] = [
        st.sampled_from(PLAIN).map(lambda name: ("plain", name)),
        st.sampled_from(STANDARD).map(lambda home: ("of", *home)),
        st.lists(st.sampled_from(LITERALS), min_size=1, max_size=2, unique=True).map(lambda them: ("literal", *them)),
        st.just(("any",)),
    ]
    classes = [(each.module, item.name) for each in known for item in each.classes]
    if known:
        simple.append(st.sampled_from(classes).map(lambda home: ("of", *home)))
        names = [(each.module, alias) for each in known for alias in ALIASES]
        simple.append(st.sampled_from(names).map(lambda home: ("of", *home)))
    atoms = st.one_of(simple)
    if depth == 0:
        return atoms
    inner = annotations(known, depth=depth - 1)
    nested: list[st.SearchStrategy[Annotation]] = [
        st.tuples(st.sampled_from(ONE[:-1]), inner),
        st.tuples(st.sampled_from(TWO), st.just(("plain", "str")), inner),
        st.tuples(st.just("pair"), inner, inner),
        st.tuples(st.sampled_from(("optional", "Optional", "annotated", "quoted")), inner),
        st.tuples(st.sampled_from(("union", "Union")), inner, inner),
    ]
    if known:
        homes = [each.module for each in known]
        nested.append(st.tuples(st.sampled_from(GENERIC), st.sampled_from(homes), inner))
    return st.one_of(atoms, *nested)


_NEAR = {
    "bool": ("int", "float"),
    "int": ("float", "bool", "object"),
    "float": ("int", "object"),
    "str": ("object", "bytes"),
    "None": ("int", "object"),
}
_WIDER = ("Sequence", "Iterable", "Collection", "list", "set", "Set", "frozenset", "deque", "tuple")


@st.composite
def near(draw: st.DrawFn, annotation: Annotation, known: tuple[Models, ...]) -> Annotation:
    """An annotation that is like another one, but for something at one place in it: half of them are wider."""
    form, *rest = annotation
    inner = [position for position, item in enumerate(rest) if isinstance(item, tuple)]
    if inner and draw(st.integers(0, 3)):
        position = draw(st.sampled_from(inner))
        changed = draw(near(rest[position], known))  # type: ignore[arg-type]
        return (form, *rest[:position], changed, *rest[position + 1 :])
    choices: list[st.SearchStrategy[Annotation]] = [
        st.just(("optional", annotation)),
        st.just(("union", ("plain", "int"), annotation)),
        st.just(("any",)),
        annotations(known, depth=1),
    ]
    match form:
        case "plain" if rest[0] in _NEAR:
            choices = [st.sampled_from(_NEAR[str(rest[0])]).map(lambda name: ("plain", name)), *choices]
        case "literal":
            choices = [st.just(("plain", "str")), st.just(("literal", *rest, "2")), *choices]
        case "of":
            bases = [(each.module, item.base) for each in known for item in each.classes if item.name == rest[1]]
            homes = [("of", *home) for home in bases if home[1] is not None and home[0] == rest[0]]
            homes += [("of", each.module, item.name) for each in known for item in each.classes if item.base == rest[1]]
            homes += [("of", each.module, rest[1]) for each in known if rest[1] in [item.name for item in each.classes]]
            choices = [*map(st.just, homes), *choices]
        case "pair":
            choices = [st.just(("tuple", rest[0])), st.just(("Sequence", ("union", *rest))), *choices]
        case "optional" | "Optional":
            choices = [st.just(rest[0]), st.just(("Optional", rest[0])), *choices]  # type: ignore[list-item]
        case "union" | "Union":
            choices = [st.just(rest[0]), st.just(("union", rest[1], rest[0])), *choices]  # type: ignore[list-item]
        case "dict" | "Mapping" | "MutableMapping":
            choices = [st.sampled_from(TWO).map(lambda name: (name, *rest)), *choices]
        case _ if form in _WIDER:
            choices = [st.sampled_from(_WIDER).map(lambda name: (name, *rest)), *choices]
        case _:
            pass
    return draw(st.one_of(choices))


def written(annotation: Annotation, word: Word, *, is_quoted: bool = False) -> str:
    """An annotation in a module's words."""

    def inner(item: object, *, quoted: bool = is_quoted) -> str:
        return written(item, word, is_quoted=quoted)  # type: ignore[arg-type]

    form, *rest = annotation
    match form:
        case "plain":
            return str(rest[0])
        case "of":
            return word(str(rest[0]), str(rest[1]))
        case "any":
            return word("typing", "Any")
        case "literal":
            return f"{word('typing', 'Literal')}[{', '.join(map(str, rest))}]"
        case "pair":
            return f"tuple[{inner(rest[0])}, {inner(rest[1])}]"
        case "tuple":
            return f"tuple[{inner(rest[0])}, ...]"
        case "optional":
            return f"{word('typing', 'Union')}[{inner(rest[0])}, None]"
        case "Optional":
            return f"{word('typing', 'Optional')}[{inner(rest[0])}]"
        case "union" | "Union":
            return f"{word('typing', 'Union')}[{inner(rest[0])}, {inner(rest[1])}]"
        case "annotated":
            return f"{word('typing', 'Annotated')}[{inner(rest[0])}, 3]"
        case "quoted":
            text = inner(rest[0], quoted=True)
            return text if is_quoted or "'" in text else f"{word('typing', 'Annotated')}['{text}', 4]"
        case _ if form in GENERIC:
            return f"{word(str(rest[0]), str(form))}[{inner(rest[1])}]"
        case _:
            name = word(HOMES[str(form)], str(form)) if form in HOMES else str(form)
            return f"{name}[{', '.join(map(inner, rest))}]"


FIXED = """\
class Page[T](pydantic.BaseModel):
    items: list[T]

@dataclasses.dataclass
class Box[T]:
    item: T

class Stack(list[T]): ...
class Crate(Page[int]): ...
class Words(list[str]): ...
class Table(dict[str, int]): ...

class Level(enum.IntEnum):
    LOW = 1

class Colour(enum.StrEnum):
    RED = "red"

class Loose(typing_extensions.TypedDict, total=False):
    n: typing_extensions.Required[int]
    text: str

class View(typing_extensions.TypedDict):
    n: typing_extensions.ReadOnly[int]

class Full(typing_extensions.TypedDict):
    n: int
    text: typing_extensions.NotRequired[str]

class Named(typing.Protocol):
    name: str

class Root(pydantic.RootModel[list[int]]): ...

Hidden = pydantic.SecretStr
Odd = typing.Annotated[complex, pydantic.PlainSerializer(str)]
"""
"""What every module of models has."""


def source(models: Models) -> str:
    """A module of models as text."""
    lines = [
        "import dataclasses",
        "import enum",
        "import typing",
        "import collections",
        "import collections.abc",
        "import datetime",
        "import decimal",
        "import pathlib",
        "import uuid",
        "import pydantic",
        "import typing_extensions",
        "",
        "type Ids = list[int]",
        "OldIds = list[int]",
        "type Pair[T] = tuple[T, T]",
        'T = typing.TypeVar("T")',
        "OldPair = tuple[T, T]",
        "OldOrNone = typing.Optional[T]",
        "type Json = dict[str, Json] | list[Json] | str | None",
        'OldJson = typing.Union[dict[str, "OldJson"], list["OldJson"], str, None]',
        'type Metres = typing.Annotated[int, "metres"]',
        'OldMetres = typing.Annotated[int, "metres"]',
        "type MaybeDate = datetime.date | None",
        "OldMaybeDate = typing.Optional[datetime.date]",
        "",
        *FIXED.splitlines(),
        "",
    ]
    for each in models.classes:
        lines += [*_class(each), ""]
    lines += [
        "type As = list[A]",
        "OldAs = list[A]",
        'QuotedAs = list["A"]',
        "TypedAs: typing.TypeAlias = dict[str, A]",
        'TypedText: typing.TypeAlias = "list[A]"',
        'MaybeAs = typing.Optional["A"]',
        "DeepAs = dict[str, QuotedAs]",
        "",
    ]
    return "\n".join(lines)


def _class(each: Class) -> list[str]:
    fields = [f"    f{number}_{each.name}: {written(item, _dotted)}" for number, item in enumerate(each.fields)]
    match each.kind:
        case "model":
            head = [f"class {each.name}({each.base or 'pydantic.BaseModel'}):"]
        case "dataclass":
            head = ["@dataclasses.dataclass", f"class {each.name}" + (f"({each.base}):" if each.base else ":")]
        case "typed dict":
            head = [f"class {each.name}({each.base or 'typing.TypedDict'}):"]
        case "named tuple":
            head = [f"class {each.name}(typing.NamedTuple):"]
        case "enum":
            return [f"class {each.name}(enum.Enum):", "    ONE = 1", "    TWO = 2"]
        case "new type":
            return [f'{each.name} = typing.NewType("{each.name}", int)']
        case "text":
            return [f"class {each.name}(str): ..."]
        case _:
            head = [f"class {each.name}" + (f"({each.base}):" if each.base else ":")]
    return [*head, *(fields or ["    pass"])]


def _dotted(module: str, name: str) -> str:
    return f"{module}.{name}"
