"""Signature hooks: check the arguments of `bind`, `insert` and `result`, and report errors in the words of the rules.

`insert` and `result` are overloaded, and for a wrong argument of an overloaded call, mypy lists all overloads. These
hooks run before an overload is chosen: they compare each argument with the flow, report what is wrong at the argument,
and give mypy a signature that accepts the rest.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, cast

from mypy.nodes import (
    ARG_STAR2,
    CallExpr,
    DictExpr,
    Expression,
    GeneratorExpr,
    ListComprehension,
    ListExpr,
    StrExpr,
    TupleExpr,
)
from mypy.plugin import MethodSigContext
from mypy.types import (
    AnyType,
    CallableType,
    FunctionLike,
    Instance,
    LiteralType,
    Parameters,
    ProperType,
    Type,
    TypeOfAny,
    UnionType,
    get_proper_type,
)

from baton_dsl.core import maps
from baton_dsl.core.diagnostics import Diagnostic, did_you_mean, quoted
from baton_dsl.core.rules import inputs as rule
from baton_dsl.core.spec import Argument, FlowSpec, InsertCall, ParameterSpec, Role, StepSpec
from baton_dsl.core.wording import suggestion_after
from baton_mypy import names
from baton_mypy.codes import STEP_NOT_IN_WORKFLOW
from baton_mypy.flow_facts import flow_facts_of
from baton_mypy.literals import text_of
from baton_mypy.markers import marked
from baton_mypy.relations import MypyTypes, known
from baton_mypy.report import before, here, report

if TYPE_CHECKING:
    from mypy.checker import TypeChecker


def bind(context: MethodSigContext, codes: Collection[str]) -> FunctionLike:
    """Check `.bind(...)` of a step: it takes the step's inputs, with their types."""
    step, call = context.type, context.context
    if rule.finding.code not in codes:
        return context.default_signature
    signature = get_proper_type(step.args[0]) if isinstance(step, Instance) else None
    if not isinstance(step, Instance) or not isinstance(signature, Parameters) or not isinstance(call, CallExpr):
        return context.default_signature
    if signature.is_ellipsis_args:
        return context.default_signature
    checker = cast("TypeChecker", context.api)
    types = MypyTypes(checker)
    parameters = tuple(
        ParameterSpec(name=name, role=Role.INPUT, type=known(found.type), each=found.each)
        for annotation, name in zip(signature.arg_types, signature.arg_names, strict=True)
        if name is not None and (found := marked(annotation)).is_input
    )
    given = _arguments(call, parameters, types, checker)
    spec = StepSpec(name=text_of(step.args[2]) or "step", parameters=parameters, bound=given)
    report(rule.bound(spec, types), {}, call, checker)
    return _accepting_any(context.default_signature, kept=0)


def insert(context: MethodSigContext, codes: Collection[str]) -> FunctionLike:
    """Check `.insert(...)`: it takes the flow's inputs, with their types; those without a default are required."""
    return _given_to_flow(context, codes, kept=1, find=rule.inserted)


def insert_many(context: MethodSigContext, codes: Collection[str]) -> FunctionLike:
    """Check `.insert_many(conn, [...])`: each literal mapping in it has the flow's inputs."""
    flow, call, signature = context.type, context.context, context.default_signature
    if rule.finding.code not in codes or not isinstance(flow, Instance) or not isinstance(call, CallExpr):
        return signature
    facts, inputs = flow_facts_of(flow), get_proper_type(flow.args[0])
    if facts is None or not isinstance(inputs, Parameters) or len(call.args) != 2:
        return signature
    checker = cast("TypeChecker", context.api)
    checker.get_expression_type(call.args[1])  # so that the names of a comprehension have types
    parameters, types = _parameters_of(inputs), MypyTypes(checker)
    spec = _spec(parameters, facts.takers)
    for mapping in _mappings(call.args[1]):
        report(rule.inserted(spec, _workflow(mapping, parameters, types, checker), types), {}, mapping, checker)
    return signature


def _mappings(workflows: Expression) -> Iterator[DictExpr]:
    """The literal mappings of inputs: in a list, a tuple or a comprehension, alone or with options."""
    match workflows:
        case ListExpr(items=entries) | TupleExpr(items=entries):
            pass
        case ListComprehension(generator=generator):
            entries = [generator.left_expr]
        case GeneratorExpr(left_expr=entry):
            entries = [entry]
        case _:
            entries = []
    for entry in entries:
        given = entry.items[0] if isinstance(entry, TupleExpr) and len(entry.items) == 2 else entry
        if isinstance(given, DictExpr):
            yield given


def _workflow(
    mapping: DictExpr, parameters: tuple[ParameterSpec, ...], types: MypyTypes, checker: TypeChecker
) -> InsertCall:
    """A mapping as if its items were keyword arguments; each input has the place of its key."""
    expected = _expected(parameters, types)
    arguments = {
        key.value: Argument(type=_inferred(value, expected.get(key.value), checker), place=here(checker.path, key))
        for key, value in mapping.items
        if isinstance(key, StrExpr)
    }
    is_open = any(not isinstance(key, StrExpr) for key, _ in mapping.items)
    return InsertCall(arguments=arguments, place=here(checker.path, mapping), is_open=is_open, is_mapping=True)


def preset(context: MethodSigContext, codes: Collection[str]) -> FunctionLike:
    """Check `.bind(...)` of a flow: it takes some of the flow's inputs, with their types."""
    return _given_to_flow(context, codes, kept=0, find=rule.given)


type Find = Callable[[FlowSpec, InsertCall, MypyTypes], Iterable[Diagnostic]]


def given(
    call: CallExpr,
    inputs: Parameters,
    takers: Mapping[str, str],
    checker: TypeChecker,
    find: Find = rule.given,
    besides: Collection[str] = (),
) -> Iterable[Diagnostic]:
    """The findings for the arguments of a call of `.bind(...)` or `.insert(...)`.

    Args:
        call: The call; each argument is inferred as a value for the input of its name.
        inputs: The inputs of the flow.
        takers: For each input, the name of the first step that takes it.
        checker: The checker of the module that contains the call.
        find: The function of the rule.
        besides: Keywords of the call that are not inputs.
    """
    parameters, types = _parameters_of(inputs), MypyTypes(checker)
    arguments = InsertCall(
        arguments={
            name: argument
            for name, argument in _arguments(call, parameters, types, checker).items()
            if name not in besides
        },
        place=here(checker.path, call),
        is_open=ARG_STAR2 in call.arg_kinds,
    )
    return find(_spec(parameters, takers), arguments, types)


def _parameters_of(inputs: Parameters) -> tuple[ParameterSpec, ...]:
    return tuple(
        ParameterSpec(name=name, role=Role.INPUT, type=known(annotation), has_default=not kind.is_required())
        for name, annotation, kind in zip(inputs.arg_names, inputs.arg_types, inputs.arg_kinds, strict=True)
        if name is not None
    )


def _spec(parameters: tuple[ParameterSpec, ...], takers: Mapping[str, str]) -> FlowSpec:
    """The spec of a flow that has only these inputs."""
    steps = tuple(StepSpec(name=takers[parameter.name], parameters=(parameter,)) for parameter in parameters)
    return FlowSpec(name="", steps=steps)


def _given_to_flow(context: MethodSigContext, codes: Collection[str], *, kept: int, find: Find) -> FunctionLike:
    flow, call = context.type, context.context
    if rule.finding.code not in codes:
        return context.default_signature
    facts = flow_facts_of(flow) if isinstance(flow, Instance) else None
    inputs = get_proper_type(flow.args[0]) if isinstance(flow, Instance) else None
    if facts is None or not isinstance(inputs, Parameters) or not isinstance(call, CallExpr):
        return context.default_signature
    checker = cast("TypeChecker", context.api)
    report(given(call, inputs, facts.takers, checker, find), {}, call, checker)
    return _accepting_any(context.default_signature, kept=kept)


def result(context: MethodSigContext) -> FunctionLike:
    """Check `.result(step)`: it takes a step of the workflow's flow, or its name, and optionally an item of a map."""
    workflow, call, signature = context.type, context.context, context.default_signature
    steps = step_names(get_proper_type(workflow.args[0])) if isinstance(workflow, Instance) and workflow.args else []
    if not steps or not isinstance(call, CallExpr) or not call.args:
        return signature
    checker = cast("TypeChecker", context.api)
    asked = get_proper_type(checker.get_expression_type(call.args[0]))
    name = text_of(asked.args[2] if isinstance(asked, Instance) and is_step(asked) else asked)
    if name is not None and name not in steps:
        nearest = did_you_mean(name, steps)
        message = f'the workflow has no step "{name}"'
        checker.fail(
            message + (suggestion_after(nearest) or f"; it has {quoted(steps)}"),
            call.args[0],
            code=STEP_NOT_IN_WORKFLOW,
        )
    return signature.copy_modified(arg_types=[_of_any_name(formal, checker) for formal in signature.arg_types])


def _arguments(
    call: CallExpr, parameters: tuple[ParameterSpec, ...], types: MypyTypes, checker: TypeChecker
) -> Mapping[str, Argument]:
    """The keyword arguments of a call, each inferred as a value for the parameter of its name."""
    expected = _expected(parameters, types)
    return {
        keyword: Argument(
            type=_inferred(expression, expected.get(keyword), checker),
            place=before(here(checker.path, expression), keyword),
        )
        for expression, keyword in zip(call.args, call.arg_names, strict=True)
        if keyword is not None
    }


def _expected(parameters: tuple[ParameterSpec, ...], types: MypyTypes) -> dict[str, Type]:
    taken = {item.name: maps.given(types, item) for item in parameters}
    return {name: value for name, value in taken.items() if isinstance(value, Type)}


def _inferred(expression: Expression, expected: Type | None, checker: TypeChecker) -> Type:
    return checker.get_expression_type(expression, type_context=expected)


def _accepting_any(signature: CallableType, *, kept: int) -> CallableType:
    """A signature with its first parameters and any keyword arguments."""
    return signature.copy_modified(
        arg_types=[*signature.arg_types[:kept], AnyType(TypeOfAny.special_form)],
        arg_kinds=[*signature.arg_kinds[:kept], ARG_STAR2],
        arg_names=[*signature.arg_names[:kept], "inputs"],
    )


def step_names(steps: ProperType) -> list[str]:
    """The step names in the type of a flow or a workflow; empty if it is open."""
    items = steps.items if isinstance(steps, UnionType) else [steps]
    found = [get_proper_type(item) for item in items]
    literals = [item.value for item in found if isinstance(item, LiteralType) and isinstance(item.value, str)]
    return literals if len(literals) == len(found) else []


def is_step(type: ProperType) -> bool:
    """Whether it is the type of a step."""
    return isinstance(type, Instance) and type.type.fullname == names.STEP


def _of_any_name(type: Type, checker: TypeChecker) -> Type:
    """A step's type without its name, because it has been checked that the step is in the workflow."""
    proper = get_proper_type(type)
    if not isinstance(proper, Instance) or not is_step(proper):
        return type
    arguments = list(proper.args)
    arguments[2] = checker.named_type("builtins.str")
    return proper.copy_modified(args=arguments)
