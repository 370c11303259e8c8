"""The full names of the public DSL names, and of other names that matter to the analysis."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from baton_dsl.core.standard import OUTCOME
from baton_dsl.core.types import Instance
from baton_lint.program.values import External, Value

BATON: Final = "baton_dsl"

OURS: Final = {
    f"{module}.{name}": name
    for name, modules in {
        "step": (BATON, f"{BATON}.step"),
        "From": (BATON, f"{BATON}.step"),
        "Input": (BATON, f"{BATON}.step"),
        "InputMarker": (f"{BATON}.step",),
        "Each": (BATON, f"{BATON}.step"),
        "EachMarker": (f"{BATON}.step",),
        "Flow": (BATON, f"{BATON}.flow"),
        "StepContext": (BATON, f"{BATON}.context"),
        "Skip": (BATON, f"{BATON}.context"),
        "Outcome": (BATON, f"{BATON}.outcome"),
    }.items()
    for module in modules
}
"""Full name of each public DSL name -> its short name."""

MARKERS: Final = frozenset(name for name in OURS.values() if f"{name}Marker" in OURS.values())
"""The aliases that mark a parameter."""

MAKERS: Final = {
    f"{module}.{name}": name
    for name, modules in {
        **dict.fromkeys(("NewType", "TypeVar", "TypedDict", "NamedTuple"), ("typing", "typing_extensions")),
        **dict.fromkeys(("Enum", "IntEnum", "StrEnum", "Flag", "IntFlag"), ("enum",)),
        "namedtuple": ("collections",),
        "make_dataclass": ("dataclasses",),
        "create_model": ("pydantic", "pydantic.main"),
    }.items()
    for module in modules
}
"""Full names of functions that create a class, or something like one -> their short names."""

_COLLECTIONS: Final = (
    *("Iterable", "Iterator", "Container", "Collection", "Reversible", "Sequence", "MutableSequence", "Mapping"),
    *("MutableMapping", "MutableSet", "Sized", "Hashable", "Awaitable", "Coroutine", "Generator", "Callable"),
    *("AsyncIterable", "AsyncIterator", "AsyncGenerator"),
)

SKIP: Final = Instance("baton_dsl.context.Skip")

CANONICAL: Final[Mapping[str, str]] = {
    **{f"typing.{name}": f"collections.abc.{name}" for name in _COLLECTIONS},
    "typing.AbstractSet": "collections.abc.Set",
    **{f"typing.{name}": f"builtins.{name.lower()}" for name in ("List", "Dict", "Set", "FrozenSet", "Tuple", "Type")},
    "typing.Deque": "collections.deque",
    "typing.DefaultDict": "collections.defaultdict",
    "typing.OrderedDict": "collections.OrderedDict",
    "typing.Counter": "collections.Counter",
    "typing.ContextManager": "contextlib.AbstractContextManager",
    "typing.Text": "builtins.str",
    "types.NoneType": "types.NoneType",
    "pydantic.BaseModel": "pydantic.main.BaseModel",
    "pydantic.RootModel": "pydantic.root_model.RootModel",
    **{f"pydantic.{name}": f"pydantic.types.{name}" for name in ("Secret", "SecretBytes", "SecretStr")},
    "baton_dsl.Outcome": OUTCOME,
    "baton_dsl.Skip": SKIP.name,
}
"""The full name of a class where it is defined, by the names under which users import it."""


def canonical(name: str) -> str:
    """The full name of a class where it is defined."""
    if name.startswith("typing_extensions."):
        name = f"typing.{name.removeprefix('typing_extensions.')}"
    return CANONICAL.get(name, name)


def ours(value: Value) -> str | None:
    """Which of our public names a value is; None for others."""
    return OURS.get(value.name) if isinstance(value, External) else None
