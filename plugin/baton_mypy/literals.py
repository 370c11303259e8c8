"""Read names, options and numbers that are written as literals."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from mypy.nodes import (
    ArgKind,
    BytesExpr,
    CallExpr,
    DictExpr,
    Expression,
    FloatExpr,
    IntExpr,
    ListExpr,
    MemberExpr,
    NameExpr,
    RefExpr,
    StrExpr,
    TupleExpr,
    UnaryExpr,
)
from mypy.types import Instance, LiteralType, TupleType, Type, get_proper_type

from baton_dsl.core.spec import UNKNOWN
from baton_mypy.step_facts import OptionValue

_CONSTANTS = {"builtins.True": True, "builtins.False": False, "builtins.None": None}
UNKNOWN_OPTION = OptionValue()


def option(expression: Expression, type: Type) -> OptionValue:
    """The value of an argument, from its expression or from its literal type."""
    match expression:
        case StrExpr() | IntExpr() | FloatExpr():
            return OptionValue(is_known=True, value=expression.value)
        case UnaryExpr(op="-", expr=IntExpr() | FloatExpr() as number):
            return OptionValue(is_known=True, value=-number.value)
        case NameExpr() if expression.fullname in _CONSTANTS:
            return OptionValue(is_known=True, value=_CONSTANTS[expression.fullname])
        case ListExpr() | TupleExpr():
            texts = [item.value for item in expression.items if isinstance(item, StrExpr)]
            if len(texts) == len(expression.items):
                return OptionValue(is_known=True, value=texts, is_tuple=isinstance(expression, TupleExpr))
            return UNKNOWN_OPTION
        case BytesExpr():
            return UNKNOWN_OPTION
        case _:
            literal = literal_of(type)
            if literal is not None and isinstance(literal.value, str | int | float):
                return OptionValue(is_known=True, value=literal.value)
            return UNKNOWN_OPTION


def models(expression: Expression, type: Type) -> OptionValue:
    """The models of a step. Even if their names are unknown, the type shows whether they are one or several."""
    found = option(expression, type)
    proper = get_proper_type(type)
    if found.is_known or not isinstance(proper, Instance | TupleType):
        return found
    fallback = proper.partial_fallback if isinstance(proper, TupleType) else proper
    if fallback.type.has_base("builtins.str"):
        return OptionValue(is_text=True)
    is_several = any(fallback.type.has_base(name) for name in ("builtins.list", "builtins.tuple"))
    return OptionValue(is_known=True, value=[], is_partial=True) if is_several else found


def models_by_step(expression: Expression, type: Type, type_of: Callable[[Expression], Type | None]) -> OptionValue:
    """The models that a flow chooses for steps, as far as they are written out."""
    if not isinstance(expression, DictExpr):
        return option(expression, type)
    found: dict[str, object] = {}
    for key, value in expression.items:
        keyed, given = type_of(key) if key is not None else None, type_of(value)
        name = key.value if isinstance(key, StrExpr) else text_of(keyed) if keyed is not None else None
        if name is not None and given is not None:
            model = models(value, given)
            found[name] = model.python if model.is_known else UNKNOWN
    return OptionValue(is_known=True, value=found)


def literal_of(type: Type) -> LiteralType | None:
    """The literal type of a value: declared, or inferred by mypy for a final name or a literal."""
    proper = get_proper_type(type)
    if isinstance(proper, Instance) and proper.last_known_value is not None:
        return proper.last_known_value
    return proper if isinstance(proper, LiteralType) else None


def text_of(type: Type) -> str | None:
    """The string of a literal type, or None."""
    literal = literal_of(type)
    return literal.value if literal is not None and isinstance(literal.value, str) else None


def strings(expression: Expression) -> Iterator[tuple[str, StrExpr]]:
    """The literal strings of a list or tuple display, each with its node."""
    if isinstance(expression, ListExpr | TupleExpr):
        for item in expression.items:
            if isinstance(item, StrExpr):
                yield item.value, item


def arguments_of(call: CallExpr) -> Iterator[tuple[Expression, ArgKind, str | None]]:
    """Each argument of a call, its kind, and its keyword if it has one."""
    return zip(call.args, call.arg_kinds, call.arg_names, strict=True)


def called(call: CallExpr) -> str:
    """The name of the called method; empty if it is not a method."""
    return call.callee.name if isinstance(call.callee, MemberExpr) else ""


def receiver(expression: Expression) -> Expression:
    """The step in `charge.named("eu").bind(region="eu")`: the expression before all such calls."""
    while isinstance(expression, CallExpr) and isinstance(expression.callee, MemberExpr):
        expression = expression.callee.expr
    return expression


def is_call_of(expression: Expression, fullname: str) -> bool:
    """True for a call of the function of that full name, under whichever name it was imported."""
    return (
        isinstance(expression, CallExpr)
        and isinstance(expression.callee, RefExpr)
        and expression.callee.fullname == fullname
    )


def is_true(option: OptionValue | None) -> bool:
    """True for an option that is certainly set."""
    return option is not None and option.is_known and option.value is True
