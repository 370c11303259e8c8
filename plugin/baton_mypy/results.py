"""Type the results of a workflow: `.result(...)`, `.results_of(...)` and `.results()`."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final, cast

from mypy.nodes import CallExpr
from mypy.plugin import MethodContext, MethodSigContext
from mypy.types import (
    AnyType,
    FunctionLike,
    Instance,
    NoneType,
    Parameters,
    ProperType,
    TupleType,
    Type,
    TypedDictType,
    TypeOfAny,
    get_proper_type,
)

from baton_dsl.core import maps
from baton_mypy.codes import NOT_MAPPED
from baton_mypy.flow_facts import Result, results_of_flow
from baton_mypy.literals import literal_of, text_of
from baton_mypy.markers import levels_of
from baton_mypy.relations import MypyTypes
from baton_mypy.signatures import is_step
from baton_mypy.signatures import result as result_signature
from baton_mypy.step_facts import facts_of

if TYPE_CHECKING:
    from mypy.checker import TypeChecker

_COROUTINE: Final = "typing.Coroutine"
_MAPPING: Final = "typing.Mapping"


def result(context: MethodContext) -> Type:
    """Type `.result("report")`: by name as precisely as by step; for a mapped step as a list.

    With an index, `.result(orders, 3)`, it is the result of one item.
    """
    found = _found(context)
    if found is None:
        return context.default_return_type
    is_item = any(context.args[1:])
    return _given(context, found.type if is_item else _all_items(found, cast("TypeChecker", context.api)))


def results_of(context: MethodContext) -> Type:
    """Type `.results_of("orders")`: by name as precisely as by step."""
    found = _found(context)
    levels = 1 if not any(context.args[2:]) else _number(context.arg_types[2][0])
    if found is None or levels is None:
        return context.default_return_type
    return _given(context, cast("Type", maps.listed(MypyTypes(cast("TypeChecker", context.api)), found.type, levels)))


def lists(context: MethodSigContext) -> FunctionLike:
    """Check that `.results_of(orders)` gets a step of the workflow's flow that is mapped as deep as requested.

    Errors are reported before an overload is chosen, because later ones make mypy reject the overload.
    """
    call, checker = context.context, cast("TypeChecker", context.api)
    if isinstance(call, CallExpr) and call.args and isinstance(context.type, Instance):
        given = dict(zip(call.arg_names, call.args, strict=True))
        index = given.get("index") or next((item for item in call.args[1:2] if call.arg_names[1] is None), None)
        numbers = () if index is None else _numbers(checker.get_expression_type(index))
        levels = _number(checker.get_expression_type(given["levels"])) if "levels" in given else 1
        asked = get_proper_type(checker.get_expression_type(call.args[0]))
        found = _asked(asked, context.type)
        if found is None or numbers is None or levels is None or not _shows_levels(asked):
            return result_signature(context)
        name = text_of(asked.args[2] if isinstance(asked, Instance) and is_step(asked) else asked) or "step"
        if wrong := maps.unlisted(name, found.levels, numbers, levels):
            error = checker.fail(wrong[0], call.args[0], code=NOT_MAPPED)
            checker.msg.note(f"help: {wrong[1]}", call.args[0], code=NOT_MAPPED, parent_error=error)
    return result_signature(context)


def results(context: MethodContext) -> Type:
    """Type `.results()` as a TypedDict whose keys may be missing, because only completed steps have results."""
    found = results_of_flow(context.type) if isinstance(context.type, Instance) else None
    if found is None:
        return context.default_return_type
    fallback = context.api.named_generic_type("typing._TypedDict", [])
    checker = cast("TypeChecker", context.api)
    typed = TypedDictType({name: _all_items(result, checker) for name, result in found.items()}, set(), set(), fallback)
    return changed(context.default_return_type, _MAPPING, lambda _: typed)


def changed(type: Type, name: str, change: Callable[[Instance], Type]) -> Type:
    """Change every instance of a class in a type, also inside of an awaitable."""
    proper = get_proper_type(type)
    if not isinstance(proper, Instance):
        return type
    if proper.type.fullname == name:
        return change(proper)
    return proper.copy_modified(args=[changed(argument, name, change) for argument in proper.args])


def _found(context: MethodContext) -> Result | None:
    if not context.arg_types or not context.arg_types[0]:
        return None
    return _asked(get_proper_type(context.arg_types[0][0]), context.type)


def _asked(asked: ProperType, workflow: Type) -> Result | None:
    """The result of the requested step, which is passed itself or by name."""
    if isinstance(asked, Instance) and is_step(asked):
        own = facts_of(asked)
        return Result(asked.args[1], levels_of(asked), is_by_model=own.is_per_model if own else False)
    name = text_of(asked)
    results = results_of_flow(workflow) if isinstance(workflow, Instance) else None
    return results.get(name) if results is not None and name is not None else None


def _shows_levels(asked: ProperType) -> bool:
    """Whether a step's type shows whether it is mapped: `Step[..., R]` does not."""
    if not isinstance(asked, Instance) or not is_step(asked):
        return True
    signature = get_proper_type(asked.args[0])
    return isinstance(signature, Parameters) and not signature.is_ellipsis_args


def _numbers(index: Type) -> tuple[int, ...] | None:
    """The requested item, a number for each level; empty for all items, None if unknown."""
    given = get_proper_type(index)
    if isinstance(given, NoneType):
        return ()
    found = [_number(item) for item in (given.items if isinstance(given, TupleType) else [given])]
    numbers = tuple(number for number in found if number is not None)
    return numbers if len(numbers) == len(found) else None


def _number(type: Type) -> int | None:
    literal = literal_of(type)
    return literal.value if literal is not None and isinstance(literal.value, int) else None


def _all_items(found: Result, checker: TypeChecker) -> Type:
    """The result of a step for downstream steps: a list for each level that it is mapped over, or a dict by model."""
    if found.is_by_model is None:
        return AnyType(TypeOfAny.special_form)
    if found.is_by_model:
        return cast("Type", MypyTypes(checker).dict_of(found.type))
    return cast("Type", maps.listed(MypyTypes(checker), found.type, found.levels))


def _given(context: MethodContext, type: Type) -> Type:
    """The return type of a method, sync or async."""
    made = get_proper_type(context.default_return_type)
    if isinstance(made, Instance) and made.type.fullname == _COROUTINE:
        return made.copy_modified(args=[*made.args[:2], type])
    return type
