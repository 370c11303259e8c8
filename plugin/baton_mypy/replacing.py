"""Signature hooks of the testing kit: the inputs of a run, and what stands in for the steps of its flow."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import TYPE_CHECKING, Final, cast

from mypy.nodes import CallExpr, DictExpr, Expression, LambdaExpr, ListExpr
from mypy.plugin import MethodSigContext
from mypy.types import (
    AnyType,
    CallableType,
    FunctionLike,
    Instance,
    Overloaded,
    Parameters,
    ProperType,
    Type,
    TypeType,
    get_proper_type,
)

from baton_dsl.core.diagnostics import did_you_mean, quoted
from baton_dsl.core.rules import inputs as rule
from baton_mypy import names
from baton_mypy.calls import given, step_names
from baton_mypy.codes import REPLACEMENT
from baton_mypy.flow_facts import FlowFacts, flow_facts_of
from baton_mypy.literals import text_of
from baton_mypy.relations import MypyTypes, known
from baton_mypy.report import report

if TYPE_CHECKING:
    from mypy.checker import TypeChecker

_ENDINGS: Final = frozenset({names.SKIP, "oban.job.Cancel", "oban.job.Snooze"})
_FUNCTIONS: Final = frozenset({names.STEP, "functools.partial"})


def run(context: MethodSigContext, codes: Collection[str]) -> FunctionLike:
    """`baton.run(flow, ...)` takes the inputs of the flow; `replace=` takes its steps, with what they could return."""
    call, signature = context.context, context.default_signature
    if not isinstance(call, CallExpr) or not call.args or call.arg_names[0] is not None:
        return signature
    checker = cast("TypeChecker", context.api)
    flow = get_proper_type(checker.get_expression_type(call.args[0]))
    facts = flow_facts_of(flow) if isinstance(flow, Instance) and flow.type.fullname == names.FLOW else None
    if facts is None or not isinstance(flow, Instance):
        return signature
    inputs = get_proper_type(flow.args[0])
    own = {name for name in signature.arg_names if name is not None}
    if isinstance(inputs, Parameters) and rule.finding.code in codes:
        report(given(call, inputs, facts.takers, checker, rule.inserted, besides=own), {}, call, checker)
    for name, expression in zip(call.arg_names, call.args, strict=True):
        if name == "replace" and isinstance(expression, DictExpr):
            _check(expression, facts, step_names(get_proper_type(flow.args[1])), checker)
    return signature


def _check(replace: DictExpr, facts: FlowFacts, steps: list[str], checker: TypeChecker) -> None:
    types = MypyTypes(checker)
    for key, value in replace.items:
        if key is None:
            continue
        keyed = get_proper_type(checker.get_expression_type(key))
        is_step = isinstance(keyed, Instance) and keyed.type.fullname == names.STEP
        name = text_of(keyed.args[2] if is_step and isinstance(keyed, Instance) else keyed)
        if name is None:
            continue
        if steps and name not in steps:
            nearest = did_you_mean(name, steps)
            told = f'; did you mean "{nearest}"?' if nearest else f"; it has {quoted(steps)}"
            checker.fail(f'the flow has no step "{name}" to replace{told}', key, code=REPLACEMENT)
        elif name in facts.results and isinstance(result := known(facts.results[name].type), Type):
            _compare(name, value, result, types, checker)


def _compare(name: str, value: Expression, result: Type, types: MypyTypes, checker: TypeChecker) -> None:
    whole = checker.get_expression_type(value, type_context=result)
    if isinstance(value, ListExpr) and types.assignable(whole, result) is False:
        answers: Iterator[Expression] = iter(value.items)
    elif isinstance(value, CallExpr) and _is_attempts(get_proper_type(whole)):
        answers = iter(value.args)
    else:
        answers = iter([value])
    for answer in answers:
        given_type = checker.get_expression_type(answer, type_context=result)
        if _is_value(answer, get_proper_type(given_type)) and types.assignable(given_type, result) is False:
            told = f'step "{name}" returns {types.show(result)}, but is replaced by {types.show(given_type)}'
            checker.fail(told, answer, code=REPLACEMENT)


def _is_value(expression: Expression, type: ProperType) -> bool:
    """False for what is raised, called, or ends the step."""
    if isinstance(expression, LambdaExpr) or isinstance(type, AnyType | CallableType | Overloaded | TypeType):
        return False
    if not isinstance(type, Instance):
        return True
    mro: Mapping[str, object] = {base.fullname: base for base in type.type.mro}
    return "builtins.BaseException" not in mro and type.type.fullname not in _ENDINGS | _FUNCTIONS


def _is_attempts(type: ProperType) -> bool:
    return isinstance(type, Instance) and type.type.fullname == names.ATTEMPTS
