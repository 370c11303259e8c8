"""Read `def` and `class` statements from their `ast`."""

from __future__ import annotations

import ast

from baton_dsl.core.class_bodies import changes_storing, is_left_out
from baton_lint.source.expressions import Columns, encode
from baton_lint.source.facts import ClassFieldFacts, ClassSourceFacts, ParameterFacts


def parameters_of(arguments: ast.arguments, columns: Columns) -> list[ParameterFacts]:
    """The parameters of a function, in the order of its signature."""
    found: list[ParameterFacts] = []
    positional = [*arguments.posonlyargs, *arguments.args]
    plain: list[ast.expr | None] = [None] * (len(positional) - len(arguments.defaults))
    groups: list[tuple[ast.arg, ast.expr | None, str]] = []
    for index, (argument, default) in enumerate(zip(positional, [*plain, *arguments.defaults], strict=True)):
        form = "positional-only" if index < len(arguments.posonlyargs) else "keyword"
        groups.append((argument, default, form))
    if arguments.vararg:
        groups.append((arguments.vararg, None, "*args"))
    groups += [
        (argument, default, "keyword")
        for argument, default in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)
    ]
    if arguments.kwarg:
        groups.append((arguments.kwarg, None, "**kwargs"))
    for argument, default, form in groups:
        facts: ParameterFacts = {
            "name": argument.arg,
            "form": form,
            "annotation": encode(argument.annotation, columns) if argument.annotation else None,
            "default": encode(default, columns) if default is not None else None,
            "span": columns.span(argument),
        }
        found.append(facts)
    return found


def class_facts(node: ast.ClassDef, scope: int, inner: int, columns: Columns) -> ClassSourceFacts:
    """The facts of a class: its bases, its decorators, and the annotated names in its body."""
    return ClassSourceFacts(
        name=node.name,
        scope=scope,
        inner=inner,
        bases=tuple(encode(item, columns) for item in node.bases),
        keywords={word.arg: encode(word.value, columns) for word in node.keywords if word.arg},
        decorators=tuple(encode(decorator, columns) for decorator in node.decorator_list),
        parameters=type_variables(node),
        fields=[
            ClassFieldFacts(
                name=statement.target.id,
                annotation=encode(statement.annotation, columns),
                is_excluded=is_left_out(statement.value),
            )
            for statement in node.body
            if isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name)
        ],
        stores_by_itself=any(map(changes_storing, node.body)),
    )


def type_variables(node: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.TypeAlias) -> tuple[str, ...]:
    """The names in `def function[T, *Ts]`."""
    return tuple(str(getattr(variable, "name", "?")) for variable in node.type_params)


def last_names(node: ast.expr) -> list[str]:
    """The last names of the functions that a `with` statement or a decorator calls."""
    function = node.func if isinstance(node, ast.Call) else node
    return [name for name in (getattr(function, "id", None), getattr(function, "attr", None)) if name]


def is_stub(body: list[ast.stmt]) -> bool:
    """True for a body that is only `...`, `pass`, a docstring or a `raise`."""
    return all(
        isinstance(statement, ast.Pass | ast.Raise)
        or (isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant))
        for statement in body
    )
