"""What the definition of a step says besides its types: read where `@step` is applied, while its syntax is at hand."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final, cast

from mypy.nodes import (
    CallExpr,
    Context,
    Decorator,
    Expression,
    FuncDef,
    LambdaExpr,
    MemberExpr,
    MypyFile,
    RefExpr,
    StrExpr,
    SymbolNode,
    Var,
)
from mypy.types import CallableType, Instance, UnboundType, get_proper_type

from baton_mypy import names
from baton_mypy.facts import Facts
from baton_mypy.literals import is_call_of, text_of

if TYPE_CHECKING:
    from mypy.checker import TypeChecker

_UNKNOWN: Final = None


def definition_facts(function: CallableType, given: Expression, context: Context, checker: TypeChecker) -> Facts:
    """What is known of the function that becomes a step.

    Args:
        function: Its type.
        given: The expression that was given to `step`; a stand-in of mypy where `step` decorates.
        context: The decorated function, or the call of `step`.
        checker: The checker of the module.
    """
    module = checker.tree.fullname
    definition: FuncDef | None = function.definition if isinstance(function.definition, FuncDef) else None
    if isinstance(context, Decorator) and definition is not context.func:
        return Facts(function=context.func.fullname, module=module, is_open=True)
    if isinstance(given, LambdaExpr):
        return Facts(function="<lambda>", module=module, unimportable="a lambda")
    if definition is None:
        return Facts(module=module, is_open=True)
    arguments = getattr(definition, "arguments", ())  # mypy's cache drops them
    return Facts(
        function=definition.fullname,
        module=module,
        sources=dict(_sources(definition, checker)) if arguments else {},
        defaulted=tuple(
            item.variable.name
            for item in arguments
            if item.initializer is not None and is_call_of(item.initializer, names.FROM)
        ),
        positional=tuple(item.variable.name for item in arguments if item.pos_only),
        unimportable=_unimportable(definition),
        is_method=_is_method(definition),
        is_generator=definition.is_generator or definition.is_async_generator,
    )


def _unimportable(function: FuncDef) -> str | None:
    if "." not in function.fullname or "@" in function.fullname:
        return "a function inside a function"
    return "a method" if _is_method(function) else None


def _is_method(function: FuncDef) -> bool:
    return bool(function.info) and not function.is_static and function.arg_names[:1] in (["self"], ["cls"])


# --- From(...) ---------------------------------------------------------------------------------------------------


def _sources(function: FuncDef, checker: TypeChecker) -> Iterator[tuple[str, str | None]]:
    """Each parameter that `From` marks with the name of its upstream, None where that can't be told."""
    annotations = function.unanalyzed_type
    written = annotations.arg_types if isinstance(annotations, CallableType) else [None] * len(function.arguments)
    for argument, annotation in zip(function.arguments, written, strict=True):
        name = argument.variable.name
        if argument.initializer is not None and is_call_of(argument.initializer, names.FROM):
            yield name, _source(cast("CallExpr", argument.initializer).args[0])
        elif isinstance(annotation, UnboundType) and _has_metadata(annotation):
            yield from ((name, source) for source in _annotated(function, name, checker))


def _has_metadata(annotation: UnboundType) -> bool:
    """True if `Annotated` is written in an annotation, perhaps within `Each`."""
    if annotation.name.rpartition(".")[2] == "Annotated":
        return True
    return bool(annotation.args) and any(
        isinstance(item, UnboundType) and _has_metadata(item) for item in annotation.args
    )


def _source(expression: Expression) -> str | None:
    """The name in a flow of what is given to `From`: a string, a step, or `step.named("...")`."""
    match expression:
        case StrExpr(value=name):
            return name
        case CallExpr(callee=MemberExpr(name="named"), args=[StrExpr(value=name)]):
            return name
        case CallExpr(callee=MemberExpr(name="bind", expr=step)):
            return _source(step)
        case RefExpr(node=SymbolNode() as node):
            return _name_of_step(node)
        case _:
            return _UNKNOWN


def _name_of_step(node: SymbolNode | None) -> str | None:
    variable = node.var if isinstance(node, Decorator) else node
    step = get_proper_type(variable.type) if isinstance(variable, Var) else None
    if isinstance(step, Instance) and step.type.fullname == names.STEP:
        return text_of(step.args[2])
    return _UNKNOWN


def _annotated(function: FuncDef, parameter: str, checker: TypeChecker) -> Iterator[str | None]:
    """What `Annotated[int, From("charge")]` names. mypy forgets metadata, so the function's text is read again."""
    arguments = _read(checker.path, function)
    if arguments is None:
        yield _UNKNOWN
        return
    every = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
    annotation = next((item.annotation for item in every if item.arg == parameter), None)
    if isinstance(annotation, ast.Constant) and isinstance(annotation.value, str):
        annotation = _expression(annotation.value)
    while isinstance(annotation, ast.Subscript):
        inner = annotation.slice
        for item in inner.elts[1:] if isinstance(inner, ast.Tuple) else ():
            if isinstance(item, ast.Call) and item.args and _is_from(item, checker.tree):
                match item.args[0]:
                    case ast.Constant(value=str() as name):
                        yield name
                    case step:
                        yield _name_of_step(_resolved(step, checker.tree))
        annotation = inner.elts[0] if isinstance(inner, ast.Tuple) and inner.elts else inner


def _is_from(call: ast.Call, module: MypyFile) -> bool:
    function = _resolved(call.func, module)
    return function is not None and function.fullname == names.FROM


def _read(path: str, function: FuncDef) -> ast.arguments | None:
    """The parameters of a function as they are written, or None if they can't be read."""
    try:
        lines = Path(path).read_bytes().splitlines()[function.line - 1 : function.end_line]
        head = [b"if True:"] if function.column else []
        for node in ast.walk(ast.parse(b"\n".join([*head, *lines]))):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name == function.name:
                return node.args
    except (OSError, SyntaxError, ValueError):
        pass
    return None


def _expression(text: str) -> ast.expr | None:
    try:
        return ast.parse(text, mode="eval").body
    except (SyntaxError, ValueError):
        return None


def _resolved(expression: ast.expr, module: MypyFile) -> SymbolNode | None:
    """What a dotted name stands for in a module."""
    match expression:
        case ast.Name(id=name):
            found = module.names.get(name)
        case ast.Attribute(value=value, attr=name):
            owner = _resolved(value, module)
            found = owner.names.get(name) if isinstance(owner, MypyFile) else None
        case _:
            return None
    return found.node if found else None
