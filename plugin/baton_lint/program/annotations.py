"""Turn annotations in source into the same `Term`s that `baton_dsl.reflect` makes from live ones."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from baton_dsl.core.connections import access_of
from baton_dsl.core.spec import MISSING, UNKNOWN, Access
from baton_dsl.core.types import ANY, NONE, Instance, LiteralOf, Term, TupleOf, UnionOf, customized, union
from baton_lint.program.known import MARKERS, SKIP, canonical, ours
from baton_lint.program.names import Names
from baton_lint.program.values import (
    AliasValue,
    ClassValue,
    ConstantValue,
    External,
    MadeClass,
    NewTypeValue,
    TextValue,
    TypeVariable,
    Unknown,
    Value,
)
from baton_lint.program.written import arguments_of, unquoted
from baton_lint.source.expressions import Expression

DEEPEST: Final = 16
"""The most nested aliases that are followed."""

_WRAPPERS: Final = frozenset(
    f"{module}.{name}"
    for module in ("typing", "typing_extensions")
    for name in ("Annotated", "Final", "ClassVar", "Required", "NotRequired", "ReadOnly")
)
"""Special forms that mean their first argument."""


_HARMLESS: Final = (
    *("annotated_types.", "typing.Doc", "typing_extensions.Doc", "pydantic.Field", "pydantic.fields.Field"),
    *("pydantic.StringConstraints", "pydantic.types.StringConstraints", "pydantic.Strict", "pydantic.types.Strict"),
    *("pydantic.WithJsonSchema", "pydantic.json_schema.", "pydantic.SkipValidation"),
)
"""Metadata that does not change how a type is stored, by the beginnings of full names."""

_DEFAULT: Final = "default_factory"
"""The argument of pydantic's `Field` for the values of a defaultdict."""

_NAMES: Final = ("name", "attr", "sub")
"""Kinds of expressions that name a class or an alias, perhaps with arguments."""


@dataclass(frozen=True, slots=True)
class Peeled:
    """An annotation without the markers around it.

    Attributes:
        is_input: True for `Input[T]`.
        each: How many `Each` are around it.
        source: The argument of `From(...)`, with its file and scope; None for an input.
        type: The rest, as a term.
        is_context: True for `StepContext`.
        access: Sync or async, for a connection or a session.
        is_known: False if the annotation might contain a hidden marker.
    """

    is_input: bool
    each: int
    source: tuple[str, int, Expression] | None
    type: Term
    is_context: bool
    access: Access | None
    is_known: bool


NOT_ANNOTATED: Final = Peeled(
    is_input=False, each=0, source=None, type=MISSING, is_context=False, access=None, is_known=True
)


@dataclass(frozen=True, slots=True)
class _Given:
    """The argument for a type parameter of an alias, with the meaning of the names in it."""

    path: str
    scope: int
    expression: Expression
    variables: Mapping[str, Term]
    given: Mapping[str, _Given]


def _may_be_injected(value: Value | None) -> bool:
    """Whether the runtime may inject a class: a library's class with unknown bases may be a session."""
    if isinstance(value, External):
        return value.name.endswith(("Session", "Connection"))
    return isinstance(value, Unknown)


class Annotations:
    """Translates annotations.

    Args:
        names: Resolves the names in them.
    """

    def __init__(self, names: Names) -> None:
        self.names = names
        self.classes: dict[str, ClassValue | NewTypeValue | MadeClass] = {}
        """The project's classes by their names in terms."""
        self._within: list[tuple[AliasValue, tuple[Term, ...]]] = []
        """The aliases that are being expanded."""
        self._peeled: dict[tuple[str, int, str], Peeled] = {}
        self._terms: dict[tuple[str, int, str], Term] = {}
        """A cache of the terms of single names, by file and scope, because hundreds of annotations use the same few."""
        self._registered: dict[ClassValue | NewTypeValue | MadeClass, str] = {}

    # -- markers ----------------------------------------------------------------------------------------------

    def peel(self, path: str, scope: int, expression: Expression) -> Peeled:
        """A parameter's annotation, split into markers and type."""
        if expression[0] != "name":
            return self._peel(path, scope, expression)
        key = (path, scope, expression[2])
        peeled = self._peeled.get(key)
        if peeled is None:
            peeled = self._peeled[key] = self._peel(path, scope, expression)
        return peeled

    def _peel(self, path: str, scope: int, expression: Expression) -> Peeled:
        is_input, each = False, 0
        source: tuple[str, int, Expression] | None = None
        variables: Mapping[str, Term] = {}
        given: Mapping[str, _Given] = {}
        is_custom = False
        within: list[tuple[AliasValue, tuple[Term, ...]]] = []
        for _ in range(DEEPEST):
            scope, expression = unquoted(self.names.project, path, scope, expression)
            if expression[0] == "name" and expression[2] in given:
                argument = given[expression[2]]
                path, scope, expression = argument.path, argument.scope, argument.expression
                variables, given = argument.variables, argument.given
                continue
            base = expression[2] if expression[0] == "sub" else expression
            value = self.names.evaluate(path, scope, base) if base[0] != "or" else None
            arguments = arguments_of(expression)
            name = ours(value) if value is not None else None
            if name in MARKERS:
                is_input, each = is_input or name == "Input", each + (name == "Each")
                if not arguments:  # an `Each` of anything
                    return Peeled(is_input, each, None if is_input else source, UNKNOWN, False, None, True)
                expression = arguments[0]
            elif isinstance(value, External) and value.name in _WRAPPERS and arguments:
                for item in arguments[1:]:
                    called = self._called(path, scope, item)
                    if called == "From" and item[3]:
                        source = (path, scope, item[3][0])
                    is_input, each = is_input or called == "InputMarker", each + (called == "EachMarker")
                is_custom = is_custom or self._customizes(path, scope, arguments[1:])
                expression = arguments[0]
            elif isinstance(value, AliasValue):
                terms = [self.term(path, scope, item, variables) for item in arguments or ()]
                passed = [_Given(path, scope, item, variables, given) for item in arguments or ()]
                within.append((value, tuple(terms)))
                variables = dict(zip(value.parameters, terms, strict=False))
                given = dict(zip(value.parameters, passed, strict=False))
                path, scope, expression = value.path, value.scope, value.expression
            else:
                self._within += within
                if name == "StepContext":
                    rest: Term = UNKNOWN
                elif value is not None and expression[0] in _NAMES:
                    rest = self._named(value, arguments, path, scope, variables, 1)
                else:
                    rest = self.term(path, scope, expression, variables)
                del self._within[len(self._within) - len(within) :]
                rest = customized(rest) if is_custom else rest
                access = self._access(value)
                is_known = is_input or source is not None or access is not None or not _may_be_injected(value)
                origin = None if is_input else source
                return Peeled(is_input, each, origin, rest, name == "StepContext", access, is_known)
        is_known = is_input or source is not None
        return Peeled(is_input, each, None if is_input else source, UNKNOWN, False, None, is_known)

    def _access(self, value: Value | None) -> Access | None:
        """Sync or async, if a class is a connection or a session, also by its bases; else None."""
        if isinstance(value, External):
            return access_of(value.name)
        bases: list[str] = []
        pending: list[Value | None] = [value]
        for _ in range(DEEPEST):
            if not pending:
                break
            match pending.pop():
                case External(full):
                    bases.append(full)
                case ClassValue(path, index):
                    pending += self._bases(path, index)
                case _:
                    pass
        return access_of("", bases)

    def _bases(self, path: str, index: int) -> list[Value | None]:
        file = self.names.project.files.facts(path)
        if file is None:
            return []
        source = file["classes"][index]
        plain = (base[2] if base[0] == "sub" else base for base in source["bases"])
        return [self.names.evaluate(path, source["scope"], base) for base in plain]

    def result(self, path: str, scope: int, expression: Expression) -> tuple[Term, bool]:
        """A return annotation as a term without `Skip`, and whether it had `Skip`."""
        term = self.term(path, scope, expression)
        if term == SKIP:
            return NONE, True
        if isinstance(term, UnionOf) and SKIP in term.items:
            return union([item for item in term.items if item != SKIP]), True
        return term, False

    def _called(self, path: str, scope: int, expression: Expression) -> str | None:
        """Which of our public names an expression calls; None for others."""
        return ours(self.names.evaluate(path, scope, expression[2])) if expression[0] == "call" else None

    def _customizes(self, path: str, scope: int, metadata: tuple[Expression, ...]) -> bool:
        """Whether metadata may change how pydantic stores a type: true unless it is known to be harmless."""
        for item in metadata:
            value = self.names.evaluate(path, scope, item[2] if item[0] == "call" else item)
            if isinstance(value, ConstantValue | TextValue) or ours(value) is not None:
                continue
            has_default = item[0] == "call" and any(keyword == _DEFAULT for keyword, *_ in item[4])
            if has_default or not isinstance(value, External) or not value.name.startswith(_HARMLESS):
                return True
        return False

    # -- terms ------------------------------------------------------------------------------------------------

    def term(
        self,
        path: str,
        scope: int,
        expression: Expression,
        variables: Mapping[str, Term] | None = None,
        depth: int = 0,
    ) -> Term:
        """An annotation as a term; `UNKNOWN` if it can't be resolved."""
        if expression[0] == "name" and not variables and not self._within:
            key = (path, scope, expression[2])
            known = self._terms.get(key)
            if known is None:
                known = self._terms[key] = self._term(path, scope, expression, {}, depth)
            return known
        return self._term(path, scope, expression, variables or {}, depth)

    def _term(self, path: str, scope: int, expression: Expression, variables: Mapping[str, Term], depth: int) -> Term:
        if depth > DEEPEST:
            return UNKNOWN
        depth += 1
        kind = expression[0]
        if kind == "const":
            scope, expression = unquoted(self.names.project, path, scope, expression)
            kind = expression[0]
        if kind == "name" and expression[2] in variables:
            return variables[expression[2]]
        if kind == "name" or kind == "attr":
            value = self.names.evaluate(path, scope, expression)
            return self._named(value, None, path, scope, variables, depth)
        if kind == "sub":
            value = self.names.evaluate(path, scope, expression[2])
            return self._named(value, arguments_of(expression), path, scope, variables, depth)
        if kind == "or":
            left = self.term(path, scope, expression[2], variables, depth)
            return union([left, self.term(path, scope, expression[3], variables, depth)])
        return NONE if kind == "const" and expression[2] is None else UNKNOWN

    def _named(
        self,
        value: Value,
        arguments: tuple[Expression, ...] | None,
        path: str,
        scope: int,
        variables: Mapping[str, Term],
        depth: int,
    ) -> Term:
        def terms() -> tuple[Term, ...]:
            return tuple(self.term(path, scope, item, variables, depth) for item in arguments or ())

        match value:
            case External():
                if ours(value) in MARKERS:
                    return self.term(path, scope, arguments[0], variables, depth) if arguments else UNKNOWN
                return self._external(canonical(value.name), arguments, path, scope, variables, depth)
            case ClassValue() | NewTypeValue() | MadeClass():
                return Instance(self.register(value), terms())
            case AliasValue(file, inner, parameters, expression):
                passed = terms()
                alias = (value, passed)
                if alias in self._within:  # a recursive alias is unrolled once
                    return UNKNOWN
                given = dict.fromkeys(parameters, UNKNOWN) | dict(zip(parameters, passed, strict=False))
                self._within.append(alias)
                try:
                    return self.term(file, inner, expression, given, depth)
                finally:
                    self._within.pop()
            case ConstantValue(None):
                return NONE
            case TypeVariable(name):
                return variables.get(name, UNKNOWN)
            case _:
                return UNKNOWN

    def _external(
        self,
        name: str,
        arguments: tuple[Expression, ...] | None,
        path: str,
        scope: int,
        variables: Mapping[str, Term],
        depth: int,
    ) -> Term:
        def terms() -> list[Term]:
            return [self.term(path, scope, item, variables, depth) for item in arguments or ()]

        if name == "typing.Any":
            return ANY
        if name == "collections.abc.Callable":
            return Instance(name)
        if name == "typing.Optional":
            return union([*terms(), NONE]) if arguments else UNKNOWN
        if name == "typing.Union":
            return union(terms()) if arguments else UNKNOWN
        if name in _WRAPPERS:
            if not arguments:
                return UNKNOWN
            inner = self.term(path, scope, arguments[0], variables, depth)
            is_custom = len(arguments) > 1 and self._customizes(path, scope, arguments[1:])
            return customized(inner) if is_custom else inner
        if name == "typing.Literal":
            return self._literal(arguments or ())
        if name == "builtins.tuple" and arguments is not None:
            if len(arguments) == 2 and arguments[1][0] == "const" and arguments[1][2] is Ellipsis:
                return Instance(name, (terms()[0],))
            return TupleOf(tuple(terms()))
        if name.startswith("typing.") and name not in ("typing.IO", "typing.TextIO", "typing.BinaryIO"):
            return UNKNOWN  # Self, LiteralString, TypeGuard and the like
        return Instance(name, tuple(terms()))

    def _literal(self, arguments: tuple[Expression, ...]) -> Term:
        items: list[Term] = []
        for item in arguments:
            if item[0] != "const":
                return UNKNOWN  # a member of an enum
            kind = type(item[2])
            full_name = f"{kind.__module__}.{kind.__qualname__}"
            items.append(NONE if item[2] is None else LiteralOf(repr(item[2]), full_name))
        return union(items)

    def register(self, value: ClassValue | NewTypeValue | MadeClass) -> str:
        """The name of a class of the project in terms: its file and qualified name, which is unique."""
        if value in self._registered:
            return self._registered[value]
        name = f"{value.path}.{self.name_of(value)}"
        if isinstance(value, ClassValue) and self.classes.get(name, value) != value:
            name = f"{name}#{value.index}"
        self.classes[name] = value
        self._registered[value] = name
        return name

    def name_of(self, value: ClassValue | NewTypeValue | MadeClass) -> str:
        """The qualified name of a class of the project in its module."""
        if not isinstance(value, ClassValue):
            return value.name
        facts = self.names.project.files.facts(value.path)
        assert facts is not None
        name: str = facts["scopes"][facts["classes"][value.index]["inner"]]["name"].rstrip(".")
        return name
