"""Translate the types in a call of `Flow(...)` to a `FlowSpec`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import reduce
from typing import TYPE_CHECKING, Final, NamedTuple

from mypy.nodes import (
    ARG_NAMED_OPT,
    ARG_OPT,
    ARG_POS,
    ARG_STAR,
    ARG_STAR2,
    ArgKind,
    CallExpr,
    Expression,
    MypyFile,
    NameExpr,
)
from mypy.types import Instance, Parameters, ProperType, TupleType, Type, get_proper_type

from baton_dsl.core import roles
from baton_dsl.core.connections import access_of
from baton_dsl.core.spec import (
    IGNORES,
    INHERITS,
    UNKNOWN,
    Access,
    FlowSpec,
    Form,
    Ignores,
    Option,
    ParameterSpec,
    Place,
    Reference,
    StepSpec,
)
from baton_dsl.core.spec import (
    Argument as Given,
)
from baton_mypy import names
from baton_mypy.branches import varying
from baton_mypy.flow_facts import Result
from baton_mypy.literals import arguments_of, called, is_true, option, receiver, strings, text_of
from baton_mypy.markers import marked
from baton_mypy.options import GivenOptions
from baton_mypy.places import Places, definition_in
from baton_mypy.relations import customized, known
from baton_mypy.report import elsewhere, here
from baton_mypy.step_facts import Facts, OptionValue, facts_of

if TYPE_CHECKING:
    from mypy.checker import TypeChecker

_FORMS: Final = {ARG_STAR: Form.STAR_ARGS, ARG_STAR2: Form.STAR_KWARGS}
_OPTIONAL: Final = (ARG_OPT, ARG_NAMED_OPT)
_OPENING: Final = "mypy can't tell which step this is"
_NOWHERE: Final = Places(Place("", 0, 0))
_GROWING: Final = "steps may be added to the flow later"


class Collected(NamedTuple):
    """A collected flow.

    Attributes:
        spec: The flow.
        results: The result of each known step, by name.
        arguments: The place where each step is added to the flow.
        facts: The facts about each step besides its type.
    """

    spec: FlowSpec
    results: Mapping[str, Result]
    arguments: Mapping[str, Place]
    facts: Mapping[str, Facts]


class Collector:
    """Collects one flow from the calls that create it.

    Args:
        checker: The checker of the module that contains the calls.
        places: Whether to look up the places of definitions. It is slow, so only if there is something to report.
    """

    def __init__(self, checker: TypeChecker, *, places: bool = False) -> None:
        self._checker = checker
        self._has_places = places
        self._module: MypyFile = checker.tree
        self._steps: list[StepSpec] = []
        self._results: dict[str, Result] = {}
        self._facts: dict[str, Facts] = {}
        self._open: list[Reference] = []

    def collect(self, calls: Sequence[CallExpr], *, is_closed: bool) -> Collected:
        """The flow of a call of `Flow(...)` and of the further calls in the chain, or of one `.add(...)` alone.

        Args:
            calls: The calls, the innermost first.
            is_closed: False if more steps may be added where the calls don't show it.
        """
        first, *further = calls
        if called(first) == "add":
            return self._alone(first)
        if not is_closed:
            self._open.append(Reference(_GROWING, self._place(first)))
        name = ""
        given = [GivenOptions.of(first, self._checker)]
        for position, (expression, kind, keyword) in enumerate(arguments_of(first)):
            if keyword is not None or kind is ARG_STAR2:
                continue
            if position == 0:
                name = text_of(self._type(expression)) or ""
            else:
                self._entry(expression, kind)
        for call in further:
            match called(call):
                case "add":
                    self._added(call)
                case "options":
                    given.append(GivenOptions.of(call, self._checker))
                case _:
                    pass
        spec = FlowSpec(
            name=name,
            steps=tuple(self._steps),
            ignores=reduce(lambda ignores, each: each.ignores.over(ignores), given, INHERITS),
            options={name: option for each in given for name, option in each.specs().items()},
            open_because=tuple(self._open),
            place=self._place(first),
        )
        places: dict[str, Place] = {}
        for step in self._steps:
            if step.argument_place is not None:
                places.setdefault(step.name, step.argument_place)
        return Collected(spec, self._results, places, self._facts)

    def _alone(self, call: CallExpr) -> Collected:
        """One step that is added to an otherwise unknown flow."""
        self._open.append(Reference(_GROWING, self._place(call)))
        self._added(call)
        places = {step.name: step.argument_place for step in self._steps if step.argument_place}
        spec = FlowSpec(name="", steps=tuple(self._steps), open_because=tuple(self._open))
        return Collected(spec, self._results, places, self._facts)

    # -- calls ------------------------------------------------------------------------------------------------

    def _entry(self, expression: Expression, kind: ArgKind) -> None:
        """A positional argument of `Flow(...)`: a step, or a tuple of steps to unpack."""
        place = self._place(expression)
        given = get_proper_type(self._type(expression))
        if kind is ARG_POS:
            self._step(given, expression, place)
        elif isinstance(given, TupleType):
            for item in given.items:
                self._step(get_proper_type(item), expression, place)
        else:
            self._open.append(Reference(_OPENING, place))

    def _added(self, call: CallExpr) -> None:
        """The step of `.add("name", step, deps=[...])`."""
        positional = [expression for expression, kind, _ in arguments_of(call) if kind is ARG_POS]
        keywords = {keyword: expression for expression, _, keyword in arguments_of(call) if keyword}
        if len(positional) != 2:
            self._open.append(Reference(_OPENING, self._place(call)))
            return
        name = text_of(self._type(positional[0]))
        first = len(self._steps)
        place = self._place(positional[1])
        self._step(get_proper_type(self._type(positional[1])), positional[1], place, name=name, is_renamed=True)
        ignores = Ignores.of(
            {name: _flag(option(keywords[name], self._type(keywords[name]))) for name in IGNORES if name in keywords}
        )
        deps = strings(keywords["deps"]) if "deps" in keywords else ()
        references = tuple(Reference(name, self._place(node)) for name, node in deps)
        for index in range(first, len(self._steps)):
            step = self._steps[index]
            self._steps[index] = step._replace(deps=references, ignores=ignores.over(step.ignores))

    def _step(
        self, type: Type, expression: Expression, place: Place, *, name: str | None = None, is_renamed: bool = False
    ) -> None:
        """Add one step by its type. If the type does not say which step it is, the flow is open."""
        proper = get_proper_type(type)
        if not isinstance(proper, Instance) or proper.type.fullname != names.STEP:
            if is_renamed and name is not None and isinstance(proper, Instance):  # a plain Oban job
                self._steps.append(StepSpec(name=name, is_job=True, argument_place=place))
            else:
                self._open.append(Reference(_OPENING, place))
            return
        facts = facts_of(proper)
        if not is_renamed:
            name = text_of(proper.args[2])
        if name is None or facts is None:
            self._open.append(Reference(_OPENING, place))
            return
        root = receiver(expression)
        if isinstance(root, NameExpr) and root.name in varying(self._module, self._checker.modules):
            facts = facts._replace(varies=True)
        if facts.varies:
            self._open.append(Reference("the step is defined in more than one branch", place))
        elif not _shows_parameters(proper, facts):
            self._open.append(Reference("the parameters of the step can't be determined", place))
        if facts.binds_more:
            self._open.append(Reference("bind(**inputs) does not show which inputs it sets", place))
        step = self._spec(name, proper, facts, expression, place)
        self._steps.append(step)
        self._facts.setdefault(name, facts)
        if name not in self._results:
            self._results[name] = Result(proper.args[1], step.levels, is_by_model=step.is_per_model)

    def _place(self, node: Expression) -> Place:
        """The place of a node in the module; looked up only if there is something to report."""
        return here(self._module.path, node) if self._has_places else _NOWHERE.name

    def _type(self, expression: Expression) -> Type:
        found = self._checker.lookup_type_or_none(expression)
        return self._checker.named_type("builtins.object") if found is None else found

    # -- one step ---------------------------------------------------------------------------------------------

    def _spec(self, name: str, step: Instance, facts: Facts, expression: Expression, place: Place) -> StepSpec:
        places = self._places(facts, expression, place)
        after = facts.options.get("after")
        wanted = after.value if after and after.is_known and isinstance(after.value, list) else ()
        return StepSpec(
            name=name,
            parameters=() if facts.is_open or facts.varies else tuple(_parameters(step, facts, places)),
            result=UNKNOWN if facts.varies else _result(step, facts),
            may_skip=facts.may_skip,
            after=tuple(Reference(item, places.after.get(item, places.name)) for item in wanted),
            ignores=Ignores.of({name: _flag(facts.options.get(name)) for name in IGNORES}),
            options={
                key: Option(
                    value=value.python if value.is_known else UNKNOWN, place=places.options.get(key, places.name)
                )
                for key, value in facts.options.items()
                if not value.is_text
            },
            bound={key: Given() for key in facts.bound},
            is_bound_checked=True,
            is_async=None if facts.is_open or facts.varies else _is_coroutine(step.args[3]),
            unimportable=facts.unimportable,
            unevaluable=facts.unevaluable.get("return"),
            is_generator=facts.is_generator,
            place=places.name,
            return_place=places.result,
            argument_place=place,
            is_open=not _shows_parameters(step, facts),
        )

    def _places(self, facts: Facts, expression: Expression, taken: Place) -> Places:
        """The places of a step's parts; if it is defined in another module, all are where it is added to the flow."""
        if not self._has_places:
            return _NOWHERE
        definition = definition_in(self._module, facts.module, facts.function, receiver(expression))
        if definition is not None:
            return Places.of(definition, self._checker)
        is_here = facts.module == self._module.fullname
        return Places(taken if is_here else elsewhere(facts.module))


def _is_coroutine(returned: Type) -> bool:
    proper = get_proper_type(returned)
    return isinstance(proper, Instance) and proper.type.fullname == "typing.Coroutine"


def _flag(option: OptionValue | None) -> bool | None:
    """An `ignore_*` option of a step: None means the flow's applies; one that can't be read counts as not set."""
    return None if option is None or (option.is_known and option.value is None) else is_true(option)


def _result(step: Instance, facts: Facts) -> object:
    """The result of a step."""
    return known(customized(step.args[1]) if "return" in facts.custom else step.args[1])


def _shows_parameters(step: Instance, facts: Facts) -> bool:
    """Whether the type of a step shows all of its parameters."""
    signature = get_proper_type(step.args[0])
    return not (facts.is_open or facts.varies) and isinstance(signature, Parameters) and not signature.is_ellipsis_args


def _parameters(step: Instance, facts: Facts, places: Places) -> Iterator[ParameterSpec]:
    signature = get_proper_type(step.args[0])
    if not isinstance(signature, Parameters) or signature.is_ellipsis_args:
        return
    unnamed = iter(facts.positional)
    every = list(zip(signature.arg_types, signature.arg_kinds, signature.arg_names, strict=True))
    for annotation, kind, given in every[1:] if facts.is_method else every:
        name = given if given is not None else next(unnamed, None)
        if name is None:
            continue
        form = _FORMS.get(kind, Form.KEYWORD if given is not None else Form.POSITIONAL_ONLY)
        yield _parameter(name, annotation, form, kind, facts, places)


def _parameter(name: str, type: Type, form: Form, kind: ArgKind, facts: Facts, places: Places) -> ParameterSpec:
    found = marked(type)
    if name in facts.custom:
        found = found._replace(type=customized(found.type))
    annotation = get_proper_type(found.type)
    return roles.parameter(
        name,
        known(found.type),
        form=form,
        is_from=name in facts.sources,
        source=facts.sources.get(name),
        is_input=found.is_input,
        is_context=_is_context(annotation),
        access=_access(annotation),
        each=found.each,
        has_default=kind in _OPTIONAL and name not in facts.defaulted,
        unevaluable=facts.unevaluable.get(name),
        place=places.parameters.get(name, places.name),
    )


def _is_context(type: ProperType) -> bool:
    return isinstance(type, Instance) and type.type.fullname == names.CONTEXT


def _access(type: ProperType) -> Access | None:
    """Sync or async, if a type is a connection or a session; else None."""
    return (
        access_of(type.type.fullname, (base.fullname for base in type.type.mro)) if isinstance(type, Instance) else None
    )
