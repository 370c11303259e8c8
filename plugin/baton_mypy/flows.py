"""Hooks that check flows and type what is done with them: `Flow(...)`, `.add`, `.bind`, `.options`, `.insert`."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, cast

from mypy.nodes import ARG_NAMED, ARG_NAMED_OPT, ARG_STAR, ARG_STAR2, CallExpr, Expression, MemberExpr, RefExpr
from mypy.plugin import AttributeContext, FunctionContext, MethodContext
from mypy.types import (
    AnyType,
    Instance,
    LiteralType,
    Parameters,
    Type,
    TypeOfAny,
    UnionType,
    get_proper_type,
)

from baton_dsl.core import maps
from baton_dsl.core.check import check
from baton_dsl.core.rules import inputs as input_rule
from baton_dsl.core.spec import FlowSpec, ParameterSpec
from baton_mypy import names
from baton_mypy.closing import Ending, ending_of, grows_later
from baton_mypy.flow_facts import FlowFacts, attach_results, flow_facts_of, results_of_flow
from baton_mypy.flow_specs import Collector
from baton_mypy.literals import called
from baton_mypy.relations import MypyTypes
from baton_mypy.report import report
from baton_mypy.results import changed
from baton_mypy.signatures import given
from baton_mypy.variants import check_options, strict_parameters

if TYPE_CHECKING:
    from mypy.checker import TypeChecker


def flow(context: FunctionContext, codes: Collection[str]) -> Type:
    """Check `Flow("billing", charge, report)`, and type it by its inputs and the names of its steps."""
    made = get_proper_type(context.default_return_type)
    call = context.context
    checker = cast("TypeChecker", context.api)
    if not isinstance(made, Instance) or not isinstance(call, CallExpr):
        return made
    ending = ending_of(call, checker.tree)
    if ending is Ending.CHAINED:
        return made
    return _checked([call], made, checker, codes, is_closed=ending is Ending.CLOSED)


def add(context: MethodContext, codes: Collection[str]) -> Type:
    """Check `.add("report", report)`: for the last one in a chain from `Flow(...)`, the whole flow."""
    made = get_proper_type(context.default_return_type)
    call = context.context
    checker = cast("TypeChecker", context.api)
    if not isinstance(made, Instance) or not isinstance(call, CallExpr):
        return made
    chain, ending = _chain(call), ending_of(call, checker.tree)
    if ending is Ending.CHAINED and chain != [call]:
        return made
    return _checked(chain, made, checker, codes, is_closed=ending is Ending.CLOSED)


def options(context: MethodContext, codes: Collection[str]) -> Type:
    """Check `.options(...)`: the facts about the flow stay, but other options may make it wrong.

    Directly after `Flow(...)` it is checked together with that call, as `.add` is.
    """
    made = get_proper_type(context.default_return_type)
    call = context.context
    checker = cast("TypeChecker", context.api)
    if not isinstance(made, Instance) or not isinstance(context.type, Instance) or not isinstance(call, CallExpr):
        return made
    chain = _chain(call)
    if chain != [call]:  # nobody has the flow without these options
        ending = ending_of(call, checker.tree)
        is_closed = ending is Ending.CLOSED
        return made if ending is Ending.CHAINED else _checked(chain, made, checker, codes, is_closed=is_closed)
    facts = check_options(flow_facts_of(context.type), call, checker, codes)
    if facts is None or grows_later(call, checker.tree):
        return _of_anything(made, checker)
    return facts.attached(made, checker.named_type("builtins.str"))


def bind(context: MethodContext) -> Type:
    """Type `.bind(region="eu")` as the same flow, but `insert` no longer requires these inputs."""
    made = get_proper_type(context.default_return_type)
    call = context.context
    checker = cast("TypeChecker", context.api)
    if not isinstance(made, Instance) or not isinstance(context.type, Instance) or not isinstance(call, CallExpr):
        return made
    inputs = get_proper_type(context.type.args[0])
    if flow_facts_of(context.type) is None or not isinstance(inputs, Parameters) or grows_later(call, checker.tree):
        return _of_anything(made, checker)
    made = made.copy_modified(args=[_given_already(inputs, call), *context.type.args[1:]])
    made.extra_attrs = context.type.extra_attrs
    return made


def insert(context: MethodContext) -> Type:
    """Type `.insert(...)` as a workflow that knows the result types of the flow's steps."""
    known = context.type
    if not isinstance(known, Instance) or results_of_flow(known) is None:
        return context.default_return_type
    return changed(context.default_return_type, names.WORKFLOW, lambda workflow: attach_results(known, workflow))


def sync(context: AttributeContext) -> Type:
    """Type `.sync` of a workflow so that it knows the same results."""
    made, known = get_proper_type(context.default_attr_type), context.type
    return attach_results(known, made) if isinstance(made, Instance) and isinstance(known, Instance) else made


def _chain(call: CallExpr) -> list[CallExpr]:
    """The calls of a chain from `Flow(...)` up to a call; only that call if the chain begins with something else."""
    further: list[CallExpr] = []
    expression: Expression = call
    while isinstance(expression, CallExpr) and isinstance(expression.callee, MemberExpr):
        if called(expression) not in ("add", "bind", "options"):
            break
        further.append(expression)
        expression = expression.callee.expr
    is_flow = isinstance(expression, CallExpr) and isinstance(expression.callee, RefExpr)
    if is_flow and cast("RefExpr", cast("CallExpr", expression).callee).fullname == names.FLOW:
        return [cast("CallExpr", expression), *reversed(further)]
    return [call]


def _checked(
    calls: Sequence[CallExpr], made: Instance, checker: TypeChecker, codes: Collection[str], *, is_closed: bool
) -> Instance:
    """Check a flow, and return its type.

    Args:
        calls: The calls that create it, in order.
        made: The type that mypy infers for it.
        checker: The checker of the module.
        codes: The rules to check.
        is_closed: False if more steps may be added where the calls don't show it.
    """
    types = MypyTypes(checker)
    collected = Collector(checker).collect(calls, is_closed=is_closed)
    spec = collected.spec
    if check(spec, types, codes=codes).findings:
        located = Collector(checker, places=True).collect(calls, is_closed=is_closed)
        report(check(located.spec, types, codes=codes).findings, located.arguments, calls[-1], checker)
    types.depend(checker)
    if spec.is_open or not spec.steps:
        return _of_anything(made, checker)
    text = checker.named_type("builtins.str")
    inputs = _inputs(spec, types)
    takers = {name: takers[0][0].name for name, takers in spec.inputs().items()}
    for call in calls[1:]:
        if called(call) == "bind":
            report(given(call, inputs, takers, checker) if input_rule.finding.code in codes else (), {}, call, checker)
            inputs = _given_already(inputs, call)
    steps = UnionType.make_union([LiteralType(name, text) for name in collected.results])
    facts = FlowFacts(
        results=collected.results,
        takers=takers,
        ignores=spec.ignores,
        strict=tuple(strict_parameters(collected, types)),
    )
    return facts.attached(made.copy_modified(args=[inputs, steps]), text)


def _of_anything(made: Instance, checker: TypeChecker) -> Instance:
    """The type of an unknown flow, which accepts any inputs."""
    anything = AnyType(TypeOfAny.special_form)
    inputs = Parameters([anything, anything], [ARG_STAR, ARG_STAR2], [None, None], is_ellipsis_args=True)
    unknown = made.copy_modified(args=[inputs, checker.named_type("builtins.str")])
    unknown.extra_attrs = None
    return unknown


def _inputs(spec: FlowSpec, types: MypyTypes) -> Parameters:
    """The inputs of a flow as keyword-only parameters of `insert`."""
    takers = {name: [parameter for _, parameter in found] for name, found in spec.inputs().items()}
    return Parameters(
        [_narrowest(parameters, types) for parameters in takers.values()],
        [
            ARG_NAMED_OPT if all(parameter.has_default for parameter in parameters) else ARG_NAMED
            for parameters in takers.values()
        ],
        list(takers),
    )


def _given_already(inputs: Parameters, call: CallExpr) -> Parameters:
    """The inputs of a flow after a call of `bind`, whose arguments become optional."""
    hides = ARG_STAR2 in call.arg_kinds
    return inputs.copy_modified(
        arg_kinds=[
            ARG_NAMED_OPT if hides or name in call.arg_names else kind
            for name, kind in zip(inputs.arg_names, inputs.arg_kinds, strict=True)
        ]
    )


def _narrowest(parameters: list[ParameterSpec], types: MypyTypes) -> Type:
    """The type of an input that several steps take: the one that fits all of them, or else Any."""
    taken = [maps.given(types, parameter) for parameter in parameters]
    known = [value for value in taken if isinstance(value, Type)]
    for candidate in known:
        if all(types.assignable(candidate, other) for other in known):
            return candidate
    return AnyType(TypeOfAny.special_form)
