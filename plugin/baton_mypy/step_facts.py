"""What a step's type can't express, such as its options and the place of its function. It is stored inside the type.

A flow is often checked in another module than its steps, and mypy keeps only types between modules: in its cache, in
    the
daemon, between parallel workers. So what does not fit into the type parameters of `Step` is written as one literal
string into the instance's extra attributes (`Instance.extra_attrs`, which mypy has for modules and for narrowing by
`hasattr`). mypy serializes, compares and snapshots them with the type, so a changed `after=` in one module causes a new
check of flows in other modules. The attribute's name is not an identifier, so no code can read it by accident.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import lru_cache
from types import MappingProxyType
from typing import Any, Final, NamedTuple

from mypy.types import ExtraAttrs, Instance, LiteralType, get_proper_type

from baton_dsl.core.spec import UNKNOWN

_KEY: Final = "baton facts"
_NONE: Final[Mapping[str, Any]] = MappingProxyType({})


class OptionValue(NamedTuple):
    """The value of a decorator option, if it is a literal.

    Attributes:
        is_known: True if the value is known.
        value: The value.
        is_tuple: True if it is a tuple, which is a list in JSON.
        is_partial: True if there may be more items than are known.
        is_text: True if it is an unknown string.
    """

    is_known: bool = False
    value: Any = None
    is_tuple: bool = False
    is_partial: bool = False
    is_text: bool = False

    @property
    def python(self) -> Any:
        """The value as it was written."""
        if self.is_partial:
            return [*self.value, UNKNOWN]
        return tuple(self.value) if self.is_tuple else self.value


class Facts(NamedTuple):
    """What the plugin knows about a step besides its type.

    Attributes:
        function: The full name of the decorated function; empty if it is unknown.
        module: The module that defines it.
        sources: For each parameter that `From` marks, the name of its upstream, or None if that is unknown.
        defaulted: The parameters with `From` as their default, which does not count as a default value.
        custom: The parameters, and "return" for the result, whose annotation has metadata that may change how the type
            is stored.
        unevaluable: Why the annotation of a parameter, or of the result ("return"), can't be evaluated at run time.
        positional: The names of positional-only parameters, which mypy does not keep.
        options: The decorator's options.
        bound: The names of the inputs that `bind` has set.
        binds_more: True if `bind` has unknown further arguments (`**inputs`).
        may_skip: True if the return annotation contains `Skip`.
        unimportable: Why a worker can't import the function, or None.
        is_method: True if it is a method, whose first parameter is the object.
        varies: True if the name may be another function, because it is defined in more than one branch.
        is_generator: True if it has a `yield`.
        is_open: True if another decorator below `@step` may have changed the function.
    """

    function: str = ""
    module: str = ""
    sources: Mapping[str, str | None] = _NONE
    defaulted: tuple[str, ...] = ()
    custom: tuple[str, ...] = ()
    unevaluable: Mapping[str, str] = _NONE
    positional: tuple[str, ...] = ()
    options: Mapping[str, OptionValue] = _NONE
    bound: tuple[str, ...] = ()
    binds_more: bool = False
    may_skip: bool = False
    unimportable: str | None = None
    is_method: bool = False
    varies: bool = False
    is_generator: bool = False
    is_open: bool = False

    @property
    def name(self) -> str:
        """The function's own name."""
        return self.function.rpartition(".")[2]

    @property
    def is_per_model(self) -> bool | None:
        """Whether the step runs once for each of several models; None if that is unknown."""
        models = self.options.get("models")
        if models is None or models.is_text:
            return False
        return isinstance(models.value, list) if models.is_known else None

    def encode(self) -> str:
        """Encode the facts as text, without defaults."""
        return json.dumps({name: value for name, value in zip(self._fields, self, strict=True) if value})

    @staticmethod
    @lru_cache(maxsize=1024)  # a flow and all that is done with it ask for the same steps
    def decode(text: str) -> Facts:
        """Decode the facts from text."""
        written = json.loads(text)
        for name in ("defaulted", "custom", "positional", "bound"):
            if name in written:
                written[name] = tuple(written[name])
        if "options" in written:
            written["options"] = {name: OptionValue(*option) for name, option in written["options"].items()}
        return Facts(**written)


def attach(facts: Facts, to: Instance, text: Instance) -> Instance:
    """Attach facts to a type.

    Args:
        facts: The facts.
        to: A `Step` or a `StepDecorator`.
        text: mypy's `builtins.str`.
    """
    literal = LiteralType(facts.encode(), text)
    changed = to.copy_modified()
    changed.extra_attrs = ExtraAttrs({_KEY: literal})
    return changed


def facts_of(instance: Instance) -> Facts | None:
    """The facts of a type, or None if it did not come from the decorator."""
    literal = literal_attribute(instance, _KEY)
    return None if literal is None else Facts.decode(literal)


def literal_attribute(instance: Instance, key: str) -> str | None:
    """A literal string in the extra attributes of a type, or None."""
    attributes = instance.extra_attrs.attrs if instance.extra_attrs else {}
    literal = get_proper_type(attributes.get(key))
    return literal.value if isinstance(literal, LiteralType) and isinstance(literal.value, str) else None
