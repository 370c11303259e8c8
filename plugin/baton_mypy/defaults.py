"""The hook of `From(...)` as a default: give it the type that the upstream passes, so that mypy compares it."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from mypy.plugin import FunctionSigContext
from mypy.types import AnyType, CallableType, FunctionLike, Instance, Type, TypeOfAny, get_proper_type

from baton_dsl.core import maps
from baton_dsl.core.spec import Option, ParameterSpec, Role, StepSpec
from baton_mypy.markers import levels_of, marked
from baton_mypy.relations import MypyTypes, known
from baton_mypy.signatures import is_step
from baton_mypy.step_facts import facts_of

if TYPE_CHECKING:
    from mypy.checker import TypeChecker


def upstream(context: FunctionSigContext) -> FunctionLike:
    """Type `rows: list[int] = From(orders)`: for a map as a list, and for `Each[int]` as an item of the result."""
    signature, checker = context.default_signature, cast("TypeChecker", context.api)
    contexts = checker.expr_checker.type_context
    expected = contexts[-1] if contexts else None
    if not context.args or len(context.args[0]) != 1 or expected is None:
        return signature
    asked = get_proper_type(checker.get_expression_type(context.args[0][0]))
    if not isinstance(asked, Instance) or not is_step(asked):
        return signature
    taken, levels, facts = marked(expected), levels_of(asked), facts_of(asked)
    is_per_model = facts.is_per_model if facts is not None else False
    if taken.each == levels == 0 and is_per_model is False:
        return signature  # the fast path for nearly every call
    anything = AnyType(TypeOfAny.special_form)
    if is_per_model is None:
        return _giving(signature, anything)
    mapped = ParameterSpec(name="", role=Role.INPUT, each=levels)
    options = {"models": Option([])} if is_per_model else {}
    giver = StepSpec(name="", parameters=(mapped,), result=known(asked.args[1]), options=options)
    parameter = ParameterSpec(name="", role=Role.UPSTREAM, type=known(taken.type), each=taken.each)
    types = MypyTypes(checker)
    form = next(iter(maps.forms(types, parameter, giver)), maps.Form.PLAIN)
    given = maps.offer(types, parameter, giver, form)
    return _giving(signature, given if isinstance(given, Type) else anything)


def _giving(signature: CallableType, given: Type) -> CallableType:
    """A signature that accepts any argument and returns a type, because the argument has been read already."""
    anything = AnyType(TypeOfAny.special_form)
    return signature.copy_modified(arg_types=[anything for _ in signature.arg_types], ret_type=given, variables=[])
