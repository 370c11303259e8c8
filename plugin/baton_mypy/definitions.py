"""Read what the definition of a step says besides its types, when `@step` is applied and its syntax is available."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, cast

from mypy.nodes import (
    CallExpr,
    Context,
    Decorator,
    Expression,
    FuncDef,
    LambdaExpr,
    MemberExpr,
    RefExpr,
    StrExpr,
    SymbolNode,
    TypeInfo,
)
from mypy.types import CallableType

from baton_dsl.core import roles
from baton_mypy import names
from baton_mypy.branches import varying
from baton_mypy.literals import is_call_of
from baton_mypy.metadata import NOTHING, UNREADABLE, Metadata, Reader, has_annotated, is_nested, name_of_step
from baton_mypy.step_facts import Facts

if TYPE_CHECKING:
    from mypy.checker import TypeChecker


def definition_facts(function: CallableType, given: Expression, context: Context, checker: TypeChecker) -> Facts:
    """The facts about a function that becomes a step.

    Args:
        function: Its type.
        given: The argument of `step`; a temporary node of mypy if `step` is a decorator.
        context: The decorated function, or the call of `step`.
        checker: The checker of the module.
    """
    module = checker.tree.fullname
    if isinstance(context, Decorator) and context.name in varying(context.func.info or checker.tree, checker.modules):
        return Facts(function=context.func.fullname, module=module, varies=True)
    definition: FuncDef | None = function.definition if isinstance(function.definition, FuncDef) else None
    if isinstance(context, Decorator) and definition is not context.func:
        return Facts(function=context.func.fullname, module=module, is_open=True)
    if isinstance(given, LambdaExpr):
        return Facts(function="<lambda>", module=module, unimportable=roles.LAMBDA)
    if definition is None:
        return Facts(module=module, is_open=True)
    arguments = getattr(definition, "arguments", ())  # mypy's cache does not keep them
    said = _metadata(definition, function, checker)
    named = _qualified_name(definition), next(iter(definition.arg_names), None)
    return Facts(
        function=definition.fullname,
        module=module,
        sources=dict(_sources(definition, said)) if arguments else {},
        custom=tuple(name for name, metadata in said.items() if metadata.is_custom),
        unevaluable=dict(Reader(checker).unevaluable(definition, function)),
        defaulted=tuple(
            item.variable.name
            for item in arguments
            if item.initializer is not None and is_call_of(item.initializer, names.FROM)
        ),
        positional=tuple(item.variable.name for item in arguments if item.pos_only),
        unimportable=roles.unimportable(*named),
        is_method=roles.is_method(*named),
        is_generator=definition.is_generator or definition.is_async_generator,
    )


def _qualified_name(function: FuncDef) -> str:
    """As Python's `__qualname__`, whose outer functions mypy does not tell."""
    outer = "<locals>." if is_nested(function) else ""
    return f"{outer}{function.info.name}.{function.name}" if function.info else f"{outer}{function.name}"


# --- From(...) and other metadata --------------------------------------------------------------------------------


def _sources(function: FuncDef, said: Mapping[str, Metadata]) -> Iterator[tuple[str, str | None]]:
    """Each parameter that `From` marks, with the name of its upstream, or None if that is unknown."""
    for argument in function.arguments:
        name = argument.variable.name
        if argument.initializer is not None and is_call_of(argument.initializer, names.FROM):
            yield name, _source(cast("CallExpr", argument.initializer).args[0])
        elif name in said and said[name].sources:
            yield name, said[name].sources[-1]


def _metadata(function: FuncDef, type: CallableType, checker: TypeChecker) -> dict[str, Metadata]:
    """The metadata of a function's parameters, and of its result under "return"."""
    reader = Reader(checker)
    names = [*type.arg_names, "return"]
    found = {name: reader.of_type(each) for name, each in zip(names, [*type.arg_types, type.ret_type], strict=True)}
    annotations = function.unanalyzed_type
    if isinstance(annotations, CallableType):
        own: Mapping[str, Metadata] | None = None
        for name, written in zip(names, [*annotations.arg_types, annotations.ret_type], strict=True):
            if has_annotated(written):
                own = reader.of_function(function) if own is None else own
                found[name] = own.get(name or "", UNREADABLE) | found[name]
            else:
                said = reader.of_names(written, function)
                found[name] = found[name] if said is NOTHING else said | found[name]
    return {name: said for name, said in found.items() if name is not None and said != NOTHING}


def _source(expression: Expression) -> str | None:
    """The name in a flow of the argument of `From`: a string, a step, or `step.named("...")`."""
    match expression:
        case StrExpr(value=name):
            return name
        case CallExpr(callee=MemberExpr(name="named"), args=[StrExpr(value=name)]):
            return name
        case CallExpr(callee=MemberExpr(name="bind", expr=step)):
            return _source(step)
        case RefExpr(node=SymbolNode() as node):
            return name_of_step(node)
        case MemberExpr(expr=RefExpr(node=TypeInfo() as owner), name=name) if symbol := owner.get(name):
            return name_of_step(symbol.node) if symbol.node is not None else None
        case _:
            return None
