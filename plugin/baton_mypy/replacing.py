"""Signature hooks of the testing kit: the inputs of a run, and the replacements of the flow's steps."""

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

from baton_dsl.core.rules import inputs as rule
from baton_dsl.core.rules import replacement as rule_of_replacements
from baton_dsl.core.spec import UNKNOWN, Argument, FlowSpec, Reference, Replaced, StepSpec
from baton_mypy import names
from baton_mypy.flow_facts import FlowFacts, flow_facts_of
from baton_mypy.literals import text_of
from baton_mypy.relations import MypyTypes, known
from baton_mypy.report import here, report
from baton_mypy.signatures import given, step_names

if TYPE_CHECKING:
    from mypy.checker import TypeChecker

_ENDINGS: Final = frozenset({names.SKIP, "oban.job.Cancel", "oban.job.Snooze"})
_FUNCTIONS: Final = frozenset({names.STEP, "functools.partial"})


def run(context: MethodSigContext, codes: Collection[str]) -> FunctionLike:
    """Type `baton.run(flow, ...)` by the inputs of the flow, and check `replace=` with the results of its steps."""
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
    if rule_of_replacements.finding.code in codes:
        given_by = dict(zip(call.arg_names, call.args, strict=True))
        if isinstance(replace := given_by.get("replace"), DictExpr):
            _check(replace, facts, step_names(get_proper_type(flow.args[1])), call, checker)
    return signature


def _check(replace: DictExpr, facts: FlowFacts, steps: list[str], call: CallExpr, checker: TypeChecker) -> None:
    types = MypyTypes(checker)
    results = {name: known(facts.results[name].type) if name in facts.results else UNKNOWN for name in steps}
    spec = FlowSpec(name="", steps=tuple(StepSpec(name=name, result=result) for name, result in results.items()))
    for key, value in replace.items:
        if key is None or not steps:
            continue
        keyed = get_proper_type(checker.get_expression_type(key))
        is_step = isinstance(keyed, Instance) and keyed.type.fullname == names.STEP
        name = text_of(keyed.args[2] if is_step and isinstance(keyed, Instance) else keyed)
        if name is None:
            continue
        answers = tuple(_answers(value, results.get(name, UNKNOWN), types, checker))
        replaced = Replaced(Reference(name, here(checker.path, key)), answers)
        report(rule_of_replacements.wrong(spec, replaced, types), {}, call, checker)


def _answers(value: Expression, result: object, types: MypyTypes, checker: TypeChecker) -> Iterator[Argument]:
    """The values that replace the result of a step."""
    expected = result if isinstance(result, Type) else None
    whole = checker.get_expression_type(value, type_context=expected)
    if isinstance(value, ListExpr) and expected is not None and types.assignable(whole, expected) is False:
        answers = value.items
    elif isinstance(value, CallExpr) and _is_attempts(get_proper_type(whole)):
        answers = value.args
    else:
        answers = [value]
    for answer in answers:
        given_type = checker.get_expression_type(answer, type_context=expected)
        if _is_value(answer, get_proper_type(given_type)):
            yield Argument(type=given_type, place=here(checker.path, answer))


def _is_value(expression: Expression, type: ProperType) -> bool:
    """False for an exception, a function, or something that ends the step."""
    if isinstance(expression, LambdaExpr) or isinstance(type, AnyType | CallableType | Overloaded | TypeType):
        return False
    if not isinstance(type, Instance):
        return True
    mro: Mapping[str, object] = {base.fullname: base for base in type.type.mro}
    return "builtins.BaseException" not in mro and type.type.fullname not in _ENDINGS | _FUNCTIONS


def _is_attempts(type: ProperType) -> bool:
    return isinstance(type, Instance) and type.type.fullname == names.ATTEMPTS
