"""Find the places of a step's definition, while its module is being checked and its syntax is available."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, NamedTuple

from mypy.nodes import (
    ARG_STAR,
    ARG_STAR2,
    Argument,
    CallExpr,
    Decorator,
    Expression,
    FuncDef,
    MypyFile,
    OverloadedFuncDef,
    RefExpr,
    SymbolNode,
    TypeInfo,
)
from mypy.options import Options
from mypy.types import CallableType

from baton_dsl.core.spec import Place
from baton_mypy import names
from baton_mypy.literals import arguments_of, is_call_of, strings
from baton_mypy.report import before, here

if TYPE_CHECKING:
    from mypy.checker import TypeChecker

_NONE: Final[Mapping[str, Place]] = MappingProxyType({})
_STARS: Final = {ARG_STAR: len("*"), ARG_STAR2: len("**")}


def definition_in(
    module: MypyFile, home: str, function: str, origin: Expression | None = None
) -> Decorator | FuncDef | None:
    """The definition of a step, if it is in the module that is being checked.

    Args:
        module: That module.
        home: The module that defines the step.
        function: The full name of its function.
        origin: The expression of the step, if a full name does not lead to it.
    """
    if home != module.fullname:
        return None
    node: SymbolNode | None = None
    if function.startswith(f"{home}."):
        node = _resolved(function.removeprefix(f"{home}.").split("."), module)
    if node is None and isinstance(origin, RefExpr):
        node = origin.node
    node = node.impl if isinstance(node, OverloadedFuncDef) else node
    found = node.func if isinstance(node, Decorator) else node
    if not isinstance(found, FuncDef) or found.name != function.rpartition(".")[2]:
        return None
    return node if isinstance(node, Decorator) else found


def _resolved(path: Sequence[str], module: MypyFile) -> SymbolNode | None:
    node: SymbolNode | None = module
    for name in path:
        found = node.names.get(name) if isinstance(node, MypyFile | TypeInfo) else None
        node = found.node if found else None
    return node


class Places(NamedTuple):
    """The places of the parts of a step's definition."""

    name: Place
    result: Place | None = None
    parameters: Mapping[str, Place] = _NONE
    options: Mapping[str, Place] = _NONE
    after: Mapping[str, Place] = _NONE

    @staticmethod
    def of(definition: Decorator | FuncDef, checker: TypeChecker) -> Places:
        """The places of a definition of the module that is being checked."""
        path = checker.tree.path
        function = definition.func if isinstance(definition, Decorator) else definition
        options: dict[str, Place] = {}
        after: dict[str, Place] = {}
        for decorator in definition.decorators if isinstance(definition, Decorator) else ():
            if is_call_of(decorator, names.STEP_FUNCTION) and isinstance(decorator, CallExpr):
                for value, _, keyword in arguments_of(decorator):
                    if keyword is not None:
                        options[keyword] = before(here(path, value), keyword)
                    if keyword == "after":
                        after |= {text: here(path, node) for text, node in strings(value)}
        arguments: list[Argument] = function.arguments
        written = function.unanalyzed_type
        result = written.ret_type if isinstance(written, CallableType) and written.ret_type.line > 0 else None
        return Places(
            name=_name(function, path),
            result=here(path, result) if result else None,
            parameters={item.variable.name: _parameter_place(item, path, checker.options) for item in arguments},
            options=options,
            after=after,
        )


def _name(function: FuncDef, path: str) -> Place:
    """The place of the name after `def`."""
    column = function.column + 1 + len("async def " if function.is_coroutine else "def ")
    return Place(path, function.line, column, function.line, column + len(function.name))


def _parameter_place(argument: Argument, path: str, options: Options) -> Place:
    """The place of a parameter without its stars, which one of mypy's two parsers includes."""
    place = here(path, argument)
    stars = _STARS.get(argument.kind, 0) if options.native_parser else 0
    return place._replace(column=place.column + stars)
