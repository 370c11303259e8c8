"""Hooks that type steps: `@step`, `@step(...)`, `.named(...)` and `.bind(...)`. They report nothing.

mypy drops an overload whose hook reports an error, and also runs the hooks of overloads that it does not choose. So
these hooks only compute types; errors are reported where the step is added to a `Flow`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final, cast

from mypy.erasetype import erase_typevars
from mypy.nodes import ARG_STAR2, Context, Decorator, Expression, FuncDef, OverloadedFuncDef, RefExpr
from mypy.plugin import CheckerPluginInterface, FunctionContext, MethodContext
from mypy.typeops import make_simplified_union
from mypy.types import (
    AnyType,
    CallableType,
    Instance,
    LiteralType,
    NoneType,
    Overloaded,
    Parameters,
    ProperType,
    Type,
    UnionType,
    flatten_nested_unions,
    get_proper_type,
)

from baton_mypy import names
from baton_mypy.definitions import definition_facts
from baton_mypy.literals import UNKNOWN_OPTION, models, option, text_of
from baton_mypy.step_facts import Facts, OptionValue, attach, facts_of

if TYPE_CHECKING:
    from mypy.checker import TypeChecker

_COROUTINE: Final = "typing.Coroutine"


def step(context: FunctionContext) -> Type:
    """Type `@step`, `step(function)`, or `step(queue=...)`, which keeps the options for `decorate`."""
    made = get_proper_type(context.default_return_type)
    if not isinstance(made, Instance):
        return made
    if made.type.fullname == names.STEP_DECORATOR:
        return attach(Facts(options=_options(context)), made, _text(context.api))
    if made.type.fullname == names.STEP:
        return _step(made, context.arg_types[0][0], context.args[0][0], {}, context.context, context.api)
    return made


def decorate(context: MethodContext) -> Type:
    """Type `@step(...)` applied to a function."""
    made = get_proper_type(context.default_return_type)
    if not isinstance(made, Instance) or not isinstance(context.type, Instance):
        return made
    given = facts_of(context.type)
    return _step(
        made,
        context.arg_types[0][0],
        context.args[0][0],
        given.options if given else {},
        context.context,
        context.api,
    )


def named(context: MethodContext) -> Type:
    """Type `.named("charge_eu")` as the same step with another literal name."""
    made = get_proper_type(context.default_return_type)
    if not isinstance(made, Instance) or not isinstance(context.type, Instance):
        return made
    name = text_of(context.arg_types[0][0])
    text = _text(context.api)
    arguments = list(made.args)
    arguments[2] = text if name is None else LiteralType(name, text)
    made = made.copy_modified(args=arguments)
    facts = facts_of(context.type)
    return made if facts is None else attach(facts, made, text)


def bind(context: MethodContext) -> Type:
    """Type `.bind(region="eu")` as the same step, with the names of its bound inputs."""
    made = get_proper_type(context.default_return_type)
    facts = facts_of(context.type) if isinstance(context.type, Instance) else None
    if not isinstance(made, Instance) or facts is None:
        return made
    given = [name for group in context.arg_names for name in group if name is not None]
    unpacked = any(kind is ARG_STAR2 for group in context.arg_kinds for kind in group)
    facts = facts._replace(bound=tuple(sorted({*facts.bound, *given})), binds_more=facts.binds_more or unpacked)
    return attach(facts, made, _text(context.api))


def _text(api: CheckerPluginInterface) -> Instance:
    return cast("TypeChecker", api).named_type("builtins.str")  # mypy caches this one


def _options(context: FunctionContext) -> dict[str, OptionValue]:
    options: dict[str, OptionValue] = {}
    for keywords, expressions, types in zip(context.arg_names, context.args, context.arg_types, strict=True):
        for keyword, expression, inferred in zip(keywords, expressions, types, strict=True):
            if keyword is not None:
                options[keyword] = models(expression, inferred) if keyword == "models" else option(expression, inferred)
    if any(kind is ARG_STAR2 for kinds in context.arg_kinds for kind in kinds):
        for name in ("combine", "models"):  # it may be in the unpacked mapping
            options.setdefault(name, UNKNOWN_OPTION)
    return options


def _step(
    made: Instance,
    callee: Type,
    expression: Expression,
    options: Mapping[str, OptionValue],
    context: Context,
    api: CheckerPluginInterface,
) -> Type:
    """The type of a step, from the function itself, whichever overload mypy tries."""
    proper = get_proper_type(callee)
    function = _implementation(expression) if isinstance(proper, Overloaded) else proper
    if not isinstance(function, CallableType) or _has_lost(made, function.ret_type, context):
        return made
    text = _text(api)
    result, may_skip = _without_skip(_awaited(function.ret_type))
    facts = definition_facts(function, expression, context, cast("TypeChecker", api))
    facts = facts._replace(options=options, may_skip=may_skip)
    if (
        function.variables
    ):  # no type can express the result of a generic step: its calls are unchecked, its edges unknown
        function = cast("CallableType", erase_typevars(function.copy_modified(variables=[])))
        result = erase_typevars(result)
    parameters = Parameters(
        function.arg_types, function.arg_kinds, function.arg_names, is_ellipsis_args=function.is_ellipsis_args
    )
    given = facts.options.get("name")
    own_name = facts.name if given is None else given.value
    name: Type = LiteralType(own_name, text) if isinstance(own_name, str) and own_name else text
    arguments = [parameters, result, name, function.ret_type]
    return attach(facts, made.copy_modified(args=arguments), text)


def _has_lost(made: Instance, returned: Type, context: Context) -> bool:
    """Whether mypy tries an overload that can't accept the function, so that nothing need be computed."""
    returned, called = get_proper_type(returned), get_proper_type(made.args[3])
    if not isinstance(returned, Instance):
        return False
    if isinstance(called, AnyType):
        return isinstance(context, Decorator)  # in a call, another type may be expected
    is_coroutine = isinstance(called, Instance) and called.type.fullname == _COROUTINE
    return is_coroutine and not returned.type.has_base(_COROUTINE)


def _implementation(expression: Expression) -> ProperType | None:
    """The type of an overloaded function's implementation, whose annotations validate results and inputs."""
    node = expression.node if isinstance(expression, RefExpr) else None
    implementation = node.impl if isinstance(node, OverloadedFuncDef) else None
    return get_proper_type(implementation.type) if isinstance(implementation, FuncDef) else None


def _awaited(type: Type) -> Type:
    """The result of a coroutine; any other type unchanged."""
    proper = get_proper_type(type)
    if isinstance(proper, Instance) and proper.type.fullname == _COROUTINE and len(proper.args) == 3:
        return proper.args[2]
    return type


def _without_skip(type: Type) -> tuple[Type, bool]:
    """A return type without `Skip`, and whether it had `Skip`."""
    proper = get_proper_type(type)
    if _is_skip(proper):
        return NoneType(), True
    if isinstance(proper, UnionType):
        items = flatten_nested_unions(proper.items)
        rest = [item for item in items if not _is_skip(get_proper_type(item))]
        if len(rest) < len(items):
            return make_simplified_union(rest), True
    return type, False


def _is_skip(type: ProperType) -> bool:
    return isinstance(type, Instance) and type.type.fullname == names.SKIP
