"""Hooks that check flows and type what is done with them: `Flow(...)`, `.add`, `.insert`, `.result`, `.results`."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import TYPE_CHECKING, Final, cast

from mypy.nodes import ARG_NAMED, ARG_NAMED_OPT, CallExpr, Expression, MemberExpr, RefExpr
from mypy.plugin import AttributeContext, FunctionContext, MethodContext
from mypy.types import (
    AnyType,
    Instance,
    LiteralType,
    Parameters,
    Type,
    TypedDictType,
    TypeOfAny,
    UnionType,
    get_proper_type,
)

from baton_dsl.core import maps
from baton_dsl.core.check import check
from baton_dsl.core.spec import FlowSpec, ParameterSpec
from baton_mypy import names
from baton_mypy.closing import Ending, ending_of
from baton_mypy.collect import Collected, Collector
from baton_mypy.facts import Result, attach_flow, attach_results, results_of
from baton_mypy.literals import text_of
from baton_mypy.markers import levels_of
from baton_mypy.relations import MypyTypes
from baton_mypy.report import report

if TYPE_CHECKING:
    from mypy.checker import TypeChecker

_COROUTINE: Final = "typing.Coroutine"
_MAPPING: Final = "typing.Mapping"


def flow(context: FunctionContext, codes: Collection[str]) -> Type:
    """`Flow("billing", charge, report)`: checked, and typed by its inputs and the names of its steps."""
    made = get_proper_type(context.default_return_type)
    call = context.context
    checker = cast("TypeChecker", context.api)
    if not isinstance(made, Instance) or not isinstance(call, CallExpr):
        return made
    ending = ending_of(call, checker.tree)
    if ending is Ending.CHAINED:
        return made
    collected = Collector(checker).collect([call], is_closed=ending is Ending.CLOSED)
    return _checked(collected, made, call, checker, codes)


def add(context: MethodContext, codes: Collection[str]) -> Type:
    """`.add("report", report)`: the last of a chain that begins at `Flow(...)` is checked with all before it."""
    made = get_proper_type(context.default_return_type)
    call = context.context
    checker = cast("TypeChecker", context.api)
    if not isinstance(made, Instance) or not isinstance(call, CallExpr):
        return made
    ending = ending_of(call, checker.tree)
    if ending is Ending.CHAINED:
        return made
    chain = _chain(call)
    if chain is None:
        return _checked(Collector(checker).added(call), made, call, checker, codes)
    collected = Collector(checker).collect(chain, is_closed=ending is Ending.CLOSED)
    return _checked(collected, made, call, checker, codes)


def options(context: MethodContext) -> Type:
    """`.options(...)`: what was known of the flow is known of it with other options."""
    made = get_proper_type(context.default_return_type)
    if isinstance(made, Instance) and isinstance(context.type, Instance):
        made = made.copy_modified()
        made.extra_attrs = context.type.extra_attrs
    return made


def insert(context: MethodContext) -> Type:
    """`.insert(...)`: the workflow knows the result types of the flow's steps."""
    known = context.type
    if not isinstance(known, Instance) or results_of(known) is None:
        return context.default_return_type
    return _changed(context.default_return_type, names.WORKFLOW, lambda workflow: attach_results(known, workflow))


def sync(context: AttributeContext) -> Type:
    """`.sync` of a workflow knows the same results."""
    made, known = get_proper_type(context.default_attr_type), context.type
    return attach_results(known, made) if isinstance(made, Instance) and isinstance(known, Instance) else made


def result(context: MethodContext) -> Type:
    """`.result("report")`: by name, the result is as well known as by the step; a mapped step gives a list.

    With an index, `.result(orders, 3)`, it is the result of one item.
    """
    found = _asked(context)
    if found is None:
        return context.default_return_type
    is_item = any(context.args[1:])
    given = found.type if is_item else _all_items(found, cast("TypeChecker", context.api))
    made = get_proper_type(context.default_return_type)
    if isinstance(made, Instance) and made.type.fullname == _COROUTINE:
        return made.copy_modified(args=[*made.args[:2], given])
    return given


def _asked(context: MethodContext) -> Result | None:
    """What the step gives that `.result(...)` is asked for, by itself or by its name."""
    asked = get_proper_type(context.arg_types[0][0]) if context.arg_types and context.arg_types[0] else None
    if isinstance(asked, Instance) and asked.type.fullname == names.STEP:
        return Result(asked.args[1], levels_of(asked))
    name = text_of(asked) if asked is not None else None
    results = results_of(context.type) if isinstance(context.type, Instance) else None
    return results.get(name) if results is not None and name is not None else None


def _all_items(found: Result, checker: TypeChecker) -> Type:
    """The result of a step as others see it: a list for each level that it is mapped over."""
    return cast("Type", maps.listed(MypyTypes(checker), found.type, found.levels))


def results(context: MethodContext) -> Type:
    """`.results()`: a TypedDict of what has completed, so of any of them."""
    found = results_of(context.type) if isinstance(context.type, Instance) else None
    if found is None:
        return context.default_return_type
    fallback = context.api.named_generic_type("typing._TypedDict", [])
    checker = cast("TypeChecker", context.api)
    typed = TypedDictType({name: _all_items(result, checker) for name, result in found.items()}, set(), set(), fallback)
    return _changed(context.default_return_type, _MAPPING, lambda _: typed)


def _changed(type: Type, name: str, change: Callable[[Instance], Type]) -> Type:
    """A type with every instance of a class changed, also within an awaitable of it."""
    proper = get_proper_type(type)
    if not isinstance(proper, Instance):
        return type
    if proper.type.fullname == name:
        return change(proper)
    return proper.copy_modified(args=[_changed(argument, name, change) for argument in proper.args])


def _chain(call: CallExpr) -> list[CallExpr] | None:
    """`Flow(...)` and each `.add(...)` up to a call, or None if the chain begins at something else."""
    adds: list[CallExpr] = []
    expression: Expression = call
    while isinstance(expression, CallExpr) and isinstance(expression.callee, MemberExpr):
        match expression.callee.name:
            case "add":
                adds.append(expression)
            case "options":
                pass
            case _:
                break
        expression = expression.callee.expr
    is_flow = isinstance(expression, CallExpr) and isinstance(expression.callee, RefExpr)
    if is_flow and cast("RefExpr", cast("CallExpr", expression).callee).fullname == names.FLOW:
        return [cast("CallExpr", expression), *reversed(adds)]
    return None


def _checked(
    collected: Collected, made: Instance, call: CallExpr, checker: TypeChecker, codes: Collection[str]
) -> Instance:
    types = MypyTypes(checker)
    report(check(collected.spec, types, codes=codes).findings, collected.arguments, call, checker)
    types.depend(checker)
    if collected.spec.is_open or not collected.spec.steps:
        return made
    text = checker.named_type("builtins.str")
    steps = UnionType.make_union([LiteralType(name, text) for name in collected.results])
    typed = made.copy_modified(args=[_inputs(collected.spec, types), steps])
    takers = {name: takers[0][0].name for name, takers in collected.spec.inputs().items()}
    return attach_flow(collected.results, collected.levels, takers, typed, text)


def _inputs(spec: FlowSpec, types: MypyTypes) -> Parameters:
    """The inputs of a flow as the parameters of `insert`: by name only."""
    takers = {name: [parameter for _, parameter in found] for name, found in spec.inputs().items()}
    return Parameters(
        [_narrowest(parameters, types) for parameters in takers.values()],
        [
            ARG_NAMED_OPT if all(parameter.has_default for parameter in parameters) else ARG_NAMED
            for parameters in takers.values()
        ],
        list(takers),
    )


def _narrowest(parameters: list[ParameterSpec], types: MypyTypes) -> Type:
    """The type of an input that several steps take: the one that fits all of them, else anything."""
    taken = [maps.given(types, parameter) for parameter in parameters]
    known = [value for value in taken if isinstance(value, Type)]
    for candidate in known:
        if all(types.assignable(candidate, other) for other in known):
            return candidate
    return AnyType(TypeOfAny.special_form)
