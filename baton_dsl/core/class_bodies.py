"""Read from the source of a class how pydantic stores its fields: for the front ends that see no objects."""

from __future__ import annotations

import ast
from typing import Final

_SERIALIZERS: Final = frozenset({"field_serializer", "model_serializer", "serializer", "validator", "root_validator"})
_VALIDATORS: Final = frozenset({"field_validator", "model_validator"})
_ENCODERS: Final = "json_encoders"


def changes_storing(statement: ast.stmt) -> bool:
    """Whether a statement in the body of a class may change how pydantic stores its fields."""
    match statement:
        case ast.FunctionDef(decorator_list=decorators) | ast.AsyncFunctionDef(decorator_list=decorators):
            return any(map(_is_early, decorators))
        case ast.Assign(value=ast.Call(func=ast.Call() as maker)):
            return _is_early(maker)
        case ast.Assign(value=ast.Call(keywords=keywords)):
            return any(word.arg in (_ENCODERS, None) for word in keywords)
        case ast.Assign(value=ast.Dict(keys=keys)):
            return any(not isinstance(key, ast.Constant) or key.value == _ENCODERS for key in keys)
        case ast.ClassDef(name="Config"):
            return True
        case _:
            return False


def is_left_out(value: ast.expr | None) -> bool:
    """Whether what a field is set to may leave it out of what is stored: `Field(exclude=True)`."""
    return isinstance(value, ast.Call) and any(word.arg in ("exclude", None) for word in value.keywords)


def _is_early(decorator: ast.expr) -> bool:
    """Whether a decorator makes a serializer, or a validator that may come before pydantic's own."""
    called = decorator.func if isinstance(decorator, ast.Call) else decorator
    name = called.attr if isinstance(called, ast.Attribute) else called.id if isinstance(called, ast.Name) else ""
    if name not in _VALIDATORS:
        return name in _SERIALIZERS
    modes = [word.value for word in decorator.keywords if word.arg == "mode"] if isinstance(decorator, ast.Call) else []
    return any(not isinstance(mode, ast.Constant) or mode.value != "after" for mode in modes)
