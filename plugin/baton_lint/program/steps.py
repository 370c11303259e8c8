"""Turn steps in source into the same `StepSpec`s that `baton_dsl.reflect` makes from live ones."""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from dataclasses import dataclass
from typing import Final, NamedTuple

from baton_dsl.core import roles
from baton_dsl.core.spec import (
    IGNORES,
    MISSING,
    UNKNOWN,
    Argument,
    Form,
    Ignores,
    Option,
    ParameterSpec,
    Place,
    Reference,
    StepSpec,
)
from baton_dsl.core.types import Instance, LiteralOf, Term
from baton_lint.program.annotations import NOT_ANNOTATED, Annotations, Peeled
from baton_lint.program.doubts import NO_DOUBTS, Doubting, Doubts
from baton_lint.program.known import ours
from baton_lint.program.names import Names
from baton_lint.program.values import ConstantValue, ItemsValue, Keyword, StepValue, TextValue
from baton_lint.program.written import evaluated_in
from baton_lint.source.expressions import Expression, dotted, shape
from baton_lint.source.facts import FunctionFacts, ParameterFacts

_FORMS: Final = {form.value: form for form in Form}
_SCALARS: Final = (str, int, float, bool, bytes, type(None))
_LITERALS: Final = (str, int, bytes)
"""The types of which `Literal[...]` may name a value; a bool is an int, and None is a type of its own."""


@dataclass(frozen=True, slots=True)
class _Definition:
    """The signature of a function, independent of its name in a flow."""

    parameters: tuple[ParameterSpec, ...]
    result: Term
    is_async: bool
    is_generator: bool
    may_skip: bool
    unimportable: str | None
    unevaluable: str | None
    unresolved: tuple[tuple[Place, str], ...]
    place: Place
    return_place: Place | None
    blocking_calls: tuple[Reference, ...]


class _Said(NamedTuple):
    """The meaning of a parameter's annotation."""

    peeled: Peeled
    doubts: Doubts


_NO_RESULT: Final[tuple[Term, bool, Doubts]] = (MISSING, False, NO_DOUBTS)


class Steps:
    """Describes steps.

    Args:
        names: Resolves names.
        annotations: Translates annotations.
        doubting: Finds problems with the names in them.
    """

    def __init__(self, names: Names, annotations: Annotations, doubting: Doubting | None = None) -> None:
        self.names = names
        self.annotations = annotations
        self.doubting = doubting or Doubting(names)
        self._definitions: dict[tuple[str, int], _Definition] = {}
        self._annotated: dict[tuple[str, int, Hashable], _Said] = {}
        self._results: dict[tuple[str, int, Hashable], tuple[Term, bool, Doubts]] = {}
        """The meaning of annotations by file, scope and shape: most annotations of a file say the same few things."""

    def spec(
        self, step: StepValue, name: str, *, argument_place: Place | None = None, deps: tuple[Reference, ...] = ()
    ) -> StepSpec:
        """A step under its name in a flow."""
        place = self.names.project.place
        options = {keyword.name: self._option(keyword) for keyword in step.maker.options if not self._is_one(keyword)}
        bound = {
            keyword.name: self.argument(
                keyword.path, keyword.scope, keyword.expression, place(keyword.path, keyword.span)
            )
            for keyword in step.bound
        }
        seen = self._definition(step.path, step.index) if step.index is not None else None
        whole = None if step.is_wrapped else seen
        return StepSpec(
            name=name,
            parameters=whole.parameters if whole else (),
            result=whole.result if whole else UNKNOWN,
            may_skip=whole is not None and whole.may_skip,
            return_place=whole.return_place if whole else None,
            blocking_calls=whole.blocking_calls if whole else (),
            place=seen.place if seen else None,
            is_async=whole.is_async if whole else None,
            is_generator=whole is not None and whole.is_generator,
            unimportable=seen.unimportable if seen else roles.LAMBDA,
            unevaluable=whole.unevaluable if whole else None,
            after=self._after(step),
            deps=deps,
            ignores=Ignores.of({name: _flag(options.get(name)) for name in IGNORES}),
            options=options,
            bound=bound,
            argument_place=argument_place,
            bind_place=place(*step.bind) if step.bind else None,
            decorators_above=tuple(
                Reference(dotted(_callee(item)) or "?", place(step.path, item[1])) for item in step.above
            ),
            is_open=step.is_wrapped or step.hides_bound or seen is None,
        )

    def argument(self, path: str, scope: int, expression: Expression, place: Place | None) -> Argument:
        """A value that is passed to an input: the type of a scalar only; the contents of containers are unknown."""
        value = self.names.evaluate(path, scope, expression)
        if isinstance(value, TextValue):
            return Argument(type=Instance("builtins.str"), place=place)
        if not isinstance(value, ConstantValue) or not isinstance(value.value, _SCALARS):
            return Argument(place=place)
        kind = "types.NoneType" if value.value is None else f"builtins.{type(value.value).__name__}"
        literal = LiteralOf(repr(value.value), kind) if isinstance(value.value, _LITERALS) else None
        return Argument(type=Instance(kind), literal=literal, place=place)

    def literal(self, path: str, scope: int, expression: Expression) -> object:
        """The value of an expression that is written out; `UNKNOWN` for any other."""
        if expression[0] == "const":
            return expression[2]
        value = self.names.evaluate(path, scope, expression)
        if isinstance(value, ConstantValue):
            return value.value
        if isinstance(value, ItemsValue) and value.changes is None:
            items = [self.literal(value.path, value.scope, item) for item in value.items]
            return UNKNOWN if UNKNOWN in items else items
        return UNKNOWN

    def models(self, path: str, scope: int, expression: Expression) -> object:
        """The models of a step: one, or a list with `UNKNOWN` for those that can't be resolved."""
        value = self.names.evaluate(path, scope, expression)
        if isinstance(value, ItemsValue):
            items = [self.literal(value.path, value.scope, item) for item in value.items]
            return [*items, UNKNOWN] if value.changes else items
        return self.literal(path, scope, expression)

    def models_by_step(self, path: str, scope: int, expression: Expression) -> object:
        """The models that a flow chooses for steps, as far as they are written out."""
        if expression[0] != "dict":
            return self.literal(path, scope, expression)
        pairs = ((self.literal(path, scope, key), value) for key, value in expression[2])
        return {name: self.models(path, scope, value) for name, value in pairs if name is not UNKNOWN}

    def references(self, keyword: Keyword) -> tuple[tuple[Reference, ...], bool]:
        """The names in `after=` or `deps=`, and whether those are all."""
        value = self.names.evaluate(keyword.path, keyword.scope, keyword.expression)
        if not isinstance(value, ItemsValue):
            return (), False
        found: list[Reference] = []
        for item in value.items:
            name = self.literal(value.path, value.scope, item)
            if isinstance(name, str):
                written_here = keyword.expression[0] in ("tuple", "list")
                span = item[1] if written_here else keyword.span
                found.append(Reference(name, self.names.project.place(keyword.path, span)))
        return tuple(found), value.changes is None and len(found) == len(value.items)

    def _after(self, step: StepValue) -> tuple[Reference, ...]:
        after = next((keyword for keyword in step.maker.options if keyword.name == "after"), None)
        return self.references(after)[0] if after else ()

    def _option(self, keyword: Keyword) -> Option:
        read = self.models if keyword.name == "models" else self.literal
        value = read(keyword.path, keyword.scope, keyword.expression)
        return Option(value=value, place=self.names.project.place(keyword.path, keyword.span))

    def _is_one(self, keyword: Keyword) -> bool:
        """True if `models` is one string whose value is unknown, so that there is nothing to check."""
        if keyword.name != "models":
            return False
        return isinstance(self.names.evaluate(keyword.path, keyword.scope, keyword.expression), TextValue)

    # -- functions --------------------------------------------------------------------------------------------

    def _definition(self, path: str, index: int) -> _Definition:
        if (path, index) not in self._definitions:
            file = self.names.project.files.facts(path)
            assert file is not None
            function = file["functions"][index]
            qualified_name = file["scopes"][function["inner"]]["name"].rstrip(".")
            self._definitions[path, index] = self._define(path, function, qualified_name)
        return self._definitions[path, index]

    def _define(self, path: str, function: FunctionFacts, qualified_name: str) -> _Definition:
        place = self.names.project.place
        returns = function["returns"]
        written = function["parameters"]
        first = written[0]["name"] if written else None
        if roles.is_method(qualified_name, first):
            written = written[1:]
        scope = evaluated_in(self.names.project, path, function["annotated"])
        unresolved: list[tuple[Place, str]] = []
        parameters: list[ParameterSpec] = []
        for item in written:
            annotation = item["annotation"]
            said = None if annotation is None else self._said(path, scope, annotation)
            parameters.append(self._parameter(path, function, item, said))
            if said is not None and said.doubts.unresolved:
                unresolved.append((place(path, item["span"]), said.doubts.unresolved))
        result, may_skip, doubted = self._result(path, scope, returns) if returns else _NO_RESULT
        if returns and doubted.unresolved:
            unresolved.append((place(path, returns[1]), doubted.unresolved))
        return _Definition(
            parameters=tuple(parameters),
            result=result,
            may_skip=may_skip,
            is_async=function["is_async"],
            is_generator=function["is_generator"],
            unimportable=roles.unimportable(qualified_name, first),
            unevaluable=doubted.unevaluable,
            unresolved=tuple(unresolved),
            place=place(path, function["span"]),
            return_place=place(path, returns[1]) if returns else None,
            blocking_calls=tuple(Reference(name, place(path, span)) for name, span in function["blocking"]),
        )

    def _said(self, path: str, scope: int, annotation: Expression) -> _Said:
        """The meaning of a parameter's annotation. Annotations of one shape in one scope are evaluated once."""
        key = (path, scope, shape(annotation))
        found = self._annotated.get(key) if key[2] is not None else None
        if found is None:
            peeled = self.annotations.peel(path, scope, annotation)
            found = self._annotated[key] = _Said(peeled, self.doubting.of(path, scope, annotation))
        return found

    def _result(self, path: str, scope: int, annotation: Expression) -> tuple[Term, bool, Doubts]:
        """The meaning of a return annotation: the result, whether the step may skip, and doubts."""
        key = (path, scope, shape(annotation))
        found = self._results.get(key) if key[2] is not None else None
        if found is None:
            result, may_skip = self.annotations.result(path, scope, annotation)
            found = self._results[key] = (result, may_skip, self.doubting.of(path, scope, annotation))
        return found

    def unresolved(self) -> Iterator[tuple[Place, str]]:
        """The places of annotations that can't be resolved from text, and the reasons."""
        for definition in self._definitions.values():
            yield from definition.unresolved

    def _parameter(
        self, path: str, function: FunctionFacts, facts: ParameterFacts, said: _Said | None
    ) -> ParameterSpec:
        unread = function["unread"]
        name, default = facts["name"], facts["default"]
        peeled = NOT_ANNOTATED if said is None else said.peeled
        default_source = self._origin(path, function["scope"], default)
        origin = default_source or peeled.source
        return roles.parameter(
            name,
            peeled.type,
            form=_FORMS[facts["form"]],
            is_from=origin is not None,
            source=self._source(*origin) if origin is not None else None,
            is_input=peeled.is_input,
            is_context=peeled.is_context,
            access=peeled.access,
            may_hide_a_marker=not peeled.is_known,
            each=peeled.each,
            has_default=default is not None and default_source is None,
            is_read=None if unread is None else name not in unread,
            unevaluable=said.doubts.unevaluable if said is not None else None,
            place=self.names.project.place(path, facts["span"]),
        )

    def _origin(self, path: str, scope: int, default: Expression | None) -> tuple[str, int, Expression] | None:
        """The argument of `= From(...)`."""
        if default is None or default[0] != "call" or not default[3]:
            return None
        is_from = ours(self.names.evaluate(path, scope, default[2])) == "From"
        return (path, scope, default[3][0]) if is_from else None

    def _source(self, path: str, scope: int, expression: Expression) -> str | None:
        """The name of the step in `From(...)`."""
        value = self.names.evaluate(path, scope, expression)
        if isinstance(value, StepValue):
            return value.name
        return value.value if isinstance(value, ConstantValue) and isinstance(value.value, str) else None


def _callee(expression: Expression) -> Expression:
    return expression[2] if expression[0] == "call" else expression


def _flag(option: Option | None) -> bool | None:
    """The value of an `ignore_*` option. One that is not a literal counts as not set, so that rules stay silent."""
    if option is None:
        return None
    return option.value if isinstance(option.value, bool) or option.value is None else False
