"""Find problems with names in annotations: missing at run time, or not resolvable from text."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

from baton_dsl.core.rules.missing_annotation import ENDLESS
from baton_lint.program.known import canonical
from baton_lint.program.names import Names
from baton_lint.program.values import AliasValue, ClassValue, ConstantValue, External, Unknown
from baton_lint.program.written import arguments_of, unquoted
from baton_lint.source.expressions import Expression, parse

DEEPEST: Final = 16
"""The most nested aliases, and levels of an annotation, that are followed."""


_MODEL: Final = "pydantic.main.BaseModel"
_MODELS: Final = frozenset({_MODEL, "pydantic.root_model.RootModel"})
_OF_A_MODEL: Final = ""
"""As the home of strings in a model: `Page["Order"]` is a class, whose strings the annotation does not evaluate."""


_AT_ONCE: Final = 0
_STRINGS: Final = 1
"""Strings within an annotation are evaluated after all that stands around them."""
_ALIASES: Final = 2
"""The values of `type` aliases are evaluated at last."""


class Doubts(NamedTuple):
    """The problems with the names in an annotation."""

    unevaluable: str | None
    """Why it can't be evaluated at run time, in Python's words; None if it can, or may."""
    unresolved: str | None
    """Why it can't be resolved from text; None if it can."""
    turn: int = _AT_ONCE
    """When Python evaluates the part that fails: of several failures it reports the first."""

    def beside(self, other: Doubts) -> Doubts:
        """Combine with the doubts of a later part of the same annotation."""
        is_later = self.unevaluable is None or (other.unevaluable is not None and other.turn < self.turn)
        first = other if is_later else self
        return Doubts(first.unevaluable, self.unresolved or other.unresolved, first.turn)

    def later(self, turn: int) -> Doubts:
        """The same doubts, for a part that Python evaluates in a later turn."""
        return self if self.unevaluable is None else self._replace(turn=max(self.turn, turn))


NO_DOUBTS: Final = Doubts(None, None)


_NOTHING: Final[tuple[Doubts, str | None]] = (NO_DOUBTS, None)


class Doubting:
    """Finds the problems.

    Args:
        names: Resolves names.
    """

    def __init__(self, names: Names) -> None:
        self.names = names
        self._known: dict[tuple[str, int, str, str | None], tuple[Doubts, str | None]] = {}
        """The problems of single names, by file and scope. A cache, because nearly all annotations are single names."""

    def of(
        self,
        path: str,
        scope: int,
        expression: Expression,
        given: tuple[str, ...] = (),
        depth: int = 0,
        home: str | None = None,
    ) -> Doubts:
        """The problems with the names in an annotation.

        Strings in an alias that is an assignment are evaluated with the names of the module that uses the alias.

        Args:
            path: Its file.
            scope: The scope that it is evaluated in.
            expression: The annotation.
            given: The type parameters of the alias whose value it is.
            depth: The number of aliases and levels around it.
            home: The file of the annotation, inside such an alias of another file; empty inside a model of pydantic.
        """
        kind = expression[0]
        if kind == "const":
            if home == _OF_A_MODEL:
                return NO_DOUBTS
            if home is not None and home != path and isinstance(expression[2], str):
                return self._of_text(home, 0, expression[2])
            is_within = depth > 0 and isinstance(expression[2], str)
            scope, expression = unquoted(self.names.project, path, scope, expression)
            if is_within:
                return self.of(path, scope, expression, given, depth + 1, home).later(_STRINGS)
            kind = expression[0]
        if kind == "name" or kind == "attr":
            return self._of_name(path, scope, expression, given, depth, home)[0]
        if depth > DEEPEST:
            return NO_DOUBTS
        parts: tuple[Expression, ...] = ()
        found = NO_DOUBTS
        if kind == "sub":
            found, form = self._of_name(path, scope, expression[2], given, depth, home)
            parts = arguments_of(expression) or ()
            home = _OF_A_MODEL if form == _MODEL else home
            parts = () if form == "typing.Literal" else parts[:1] if form == "typing.Annotated" else parts
        elif kind == "or" or kind == "star":
            parts = expression[2:]
        elif kind == "tuple" or kind == "list":
            parts = expression[2]
        for part in parts:
            more = self.of(path, scope, part, given, depth + 1, home)
            if more is not NO_DOUBTS:
                found = found.beside(more)
        return found

    def _of_text(self, home: str, scope: int, text: str) -> Doubts:
        """The same for a string that is evaluated with the names of a module."""
        reasons = (self.names.absence(home, scope, name) for name in _names(parse(text, (1, 1, 1, 1))))
        reason = next((reason for reason in reasons if reason is not None), None)
        return Doubts(reason, None, _STRINGS) if reason is not None else NO_DOUBTS

    def _of_name(
        self, path: str, scope: int, expression: Expression, given: tuple[str, ...], depth: int, home: str | None
    ) -> tuple[Doubts, str | None]:
        """The same for a name, perhaps dotted, and for the alias that it may be; also returns its full name."""
        if expression[0] != "name" or given:
            return self._anew(path, scope, expression, given, depth, home)
        key = (path, scope, expression[2], home)
        known = self._known.get(key)
        if known is None:
            self._known[key] = _NOTHING  # an alias that refers to itself
            known = self._known[key] = self._anew(path, scope, expression, given, depth, home)
        return known

    def _anew(
        self, path: str, scope: int, expression: Expression, given: tuple[str, ...], depth: int, home: str | None
    ) -> tuple[Doubts, str | None]:
        root = expression
        while root[0] == "attr":
            root = root[2]
        if root[0] != "name" or root[2] in given or depth > DEEPEST:
            return _NOTHING
        if reason := self.names.absence(path, scope, root[2]):
            return Doubts(reason, None), None
        value = self.names.evaluate(path, scope, expression)
        match value:
            case Unknown(reason):
                return Doubts(None, reason), None
            case External(name):
                return NO_DOUBTS, canonical(name)
            case AliasValue() if home == _OF_A_MODEL and self._is_endless(value, ()):
                return Doubts(ENDLESS, None), None
            case AliasValue() if value.expression is not expression:
                home = None if value.is_lazy else path if home is None else home
                inner, inside, parameters = value.expression, value.scope, value.parameters
                form = None
                if inner[0] == "sub" and not value.is_lazy:  # `Pages = Page[T]` is a model too
                    form = self._of_name(value.path, inside, inner[2], parameters, depth + 1, home)[1]
                doubts = self.of(value.path, inside, inner, parameters, depth + 1, home)
                doubts = doubts.later(_ALIASES) if value.is_lazy else doubts
                return doubts, form if form == _MODEL else None
            case ConstantValue(str(text)) if home != _OF_A_MODEL:  # an alias that is a string
                return self._of_text(path if home is None else home, scope if home is None else 0, text), None
            case ClassValue() if self._is_model(value):
                return NO_DOUBTS, _MODEL
            case _:
                return _NOTHING

    def _is_endless(
        self, alias: AliasValue, within: tuple[AliasValue, ...], passed: tuple[AliasValue, ...] = ()
    ) -> bool:
        """Whether an alias leads to aliases by assignment that lead back to themselves, through strings.

        Args:
            alias: The alias.
            within: The aliases by assignment that led here.
            passed: The `type` statements that led here: pydantic comes back to those by their names.
        """
        if alias in within or alias in passed or len(within) + len(passed) == DEEPEST:
            return alias in within
        within, passed = ((), (*passed, alias)) if alias.is_lazy else ((*within, alias), passed)
        values = (self.names.evaluate(alias.path, alias.scope, name) for name in _dotted_names(alias.expression))
        return any(isinstance(value, AliasValue) and self._is_endless(value, within, passed) for value in values)

    def _is_model(self, value: ClassValue, depth: int = 0) -> bool:
        """Whether a class is a model of pydantic."""
        facts = self.names.project.files.facts(value.path)
        if facts is None or depth > DEEPEST:
            return False
        source = facts["classes"][value.index]
        for base in source["bases"]:
            plain = base[2] if base[0] == "sub" else base
            match self.names.evaluate(value.path, source["scope"], plain):
                case External(name) if canonical(name) in _MODELS:
                    return True
                case ClassValue() as above if self._is_model(above, depth + 1):
                    return True
                case _:
                    pass
        return False


def _dotted_names(expression: Expression) -> Iterator[Expression]:
    """Each name in an annotation, with its dots."""
    match expression[0]:
        case "name" | "attr":
            yield expression
        case "const" if isinstance(expression[2], str):
            yield from _dotted_names(parse(expression[2], expression[1]))
        case "sub":
            parts = arguments_of(expression) or ()
            is_literal = expression[2][-1] == "Literal"
            for part in (expression[2], *(() if is_literal else parts)):
                yield from _dotted_names(part)
        case "or" | "star":
            for part in expression[2:]:
                yield from _dotted_names(part)
        case "tuple" | "list":
            for part in expression[2]:
                yield from _dotted_names(part)
        case _:
            pass


def _names(expression: Expression) -> Iterator[str]:
    """The names in an expression; of a dotted name, the first part."""
    match expression[0]:
        case "name":
            yield expression[2]
        case "attr":
            yield from _names(expression[2])
        case "sub":
            form = expression[2]
            yield from _names(form)
            parts = arguments_of(expression) or ()
            for part in () if form[-1] == "Literal" else parts[:1] if form[-1] == "Annotated" else parts:
                yield from _names(part)
        case "or" | "star":
            for part in expression[2:]:
                yield from _names(part)
        case "tuple" | "list":
            for part in expression[2]:
                yield from _names(part)
        case "const" if isinstance(expression[2], str):
            yield from _names(parse(expression[2], expression[1]))
        case _:
            pass
