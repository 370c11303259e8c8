"""From source to `FileFacts`, by one walk over `ast`."""

from __future__ import annotations

import ast
import gc
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import Any, Final

from baton_dsl.core.rules.blocking_call import BLOCKING
from baton_dsl.core.spec import Form
from baton_lint.comments import ignore_comments
from baton_lint.expressions import Columns, Expression, Span, encode
from baton_lint.facts import (
    Binding,
    CallFacts,
    ClassSourceFacts,
    FileFacts,
    FunctionFacts,
    ParameterFacts,
    ScopeFacts,
)
from baton_lint.mutation import may_change
from baton_lint.reading import Undecodable, decode

_READS_ANY_NAME: Final = frozenset({"locals", "vars", "eval", "exec", "dir"})
_BLOCKING_ROOTS: Final = frozenset(name.partition(".")[0] for name in BLOCKING)
_FOREIGN_ROOTS: Final = sys.stdlib_module_names
"""Modules whose functions make no flows."""


def collect(data: bytes) -> FileFacts:
    """The facts of one file. Never raises: what can't be parsed has an `error`."""
    enabled = gc.isenabled()
    gc.disable()  # a tree is all new objects and no garbage: twice as fast without looking for any
    try:
        text = decode(data)
        tree = ast.parse(text)
        walker = _Walker(text)
        walker.walk(tree)
        return walker.facts(tree)
    except Undecodable as error:
        return _failed(str(error), (1, 1, 1, 1))
    except SyntaxError as error:
        line = max(error.lineno or 1, 1)
        column = max(error.offset or 1, 1)
        return _failed(error.msg, (line, column, line, column + 1))
    except (ValueError, RecursionError, MemoryError) as error:
        reason = {RecursionError: "too deeply nested", MemoryError: "too deeply nested"}.get(type(error), str(error))
        return _failed(reason, (1, 1, 1, 1))
    finally:
        if enabled:
            gc.enable()


def _failed(reason: str, span: Span) -> FileFacts:
    return FileFacts(
        error=(reason, span),
        scopes=[ScopeFacts(parent=-1, kind="module", name="", names={}, stars=[])],
        functions=[],
        classes=[],
        calls=[],
        passed=[],
        written=[],
        comments=[],
    )


@dataclass(slots=True)
class _Body:
    """What is gathered while the body of a function is walked."""

    facts: FunctionFacts
    node: ast.FunctionDef | ast.AsyncFunctionDef
    outer: _Body | None
    reads: set[str] = field(default_factory=set)


@dataclass(frozen=True, slots=True)
class _Where:
    """The circumstances of a node."""

    scope: int
    body: _Body | None = None
    is_certain: bool = True
    in_lambda: bool = False
    expects_error: bool = False
    """Under `pytest.raises`: what is written there is meant to be wrong."""


class _Walker:
    def __init__(self, text: str) -> None:
        self.text = text
        self.columns = Columns(text)
        self.lines = self.columns.lines
        self.scopes: list[ScopeFacts] = []
        self.functions: list[FunctionFacts] = []
        self.classes: list[ClassSourceFacts] = []
        self.calls: list[CallFacts] = []
        self.passed: set[tuple[int, str]] = set()
        self.bodies: list[_Body] = []
        self.given: set[str] = set()
        self.starred: set[str] = set()
        self.stack: list[tuple[ast.AST, _Where]] = []

    def facts(self, tree: ast.Module) -> FileFacts:
        self.given = {name for _, name in self.passed}
        for body in reversed(self.bodies):  # inner ones first
            self._finish(body)
        return FileFacts(
            error=None,
            scopes=self.scopes,
            functions=self.functions,
            classes=self.classes,
            calls=self.calls,
            passed=sorted(self.passed),
            written=may_change(self.text, self._lists() | self.starred),
            comments=ignore_comments(self.text),
        )

    # -- the walk ---------------------------------------------------------------------------------------------

    def walk(self, tree: ast.Module) -> None:
        """Visit every node. With a stack of our own: an `elif` chain is as deep as it is long."""
        module = _Where(self._scope(-1, "module", ""))
        self._push(tree.body, module)
        stack = self.stack
        while stack:
            node, where = stack.pop()
            visit = _VISITS.get(type(node))
            if visit is not None:
                visit(self, node, where)
            else:
                self._children(node, where)

    def _push(self, nodes: Iterable[ast.AST], where: _Where) -> None:
        self.stack.extend([(node, where) for node in nodes][::-1])

    def _children(self, node: ast.AST, where: _Where) -> None:
        children: list[ast.AST] = []
        for name in node._fields:
            value = getattr(node, name, None)
            if isinstance(value, ast.AST):
                children.append(value)
            elif isinstance(value, list):
                children += [item for item in value if isinstance(item, ast.AST)]
        self._push(children, where)

    def _scope(self, parent: int, kind: str, name: str) -> int:
        self.scopes.append(ScopeFacts(parent=parent, kind=kind, name=name, names={}, stars=[]))
        return len(self.scopes) - 1

    def _bind(self, where: _Where, name: str, binding: Binding, node: ast.stmt | ast.expr) -> None:
        names = self.scopes[where.scope]["names"]
        if name not in names:
            if not where.is_certain:
                binding = ("unknown", "is set in a branch, a loop or a with block", self.columns.span(node))
            names[name] = binding
        elif names[name] != binding:
            names[name] = ("unknown", "is set more than once", self.columns.span(node))

    def _unknown(self, where: _Where, target: ast.AST, reason: str) -> None:
        """All names in a target are bound to something that can't be told."""
        for node in ast.walk(target):
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store | ast.Del):
                self._bind(where, node.id, ("unknown", reason, self.columns.span(node)), node)

    # -- definitions ------------------------------------------------------------------------------------------

    def _function(self, node: ast.FunctionDef | ast.AsyncFunctionDef, where: _Where) -> None:
        prefix = self.scopes[where.scope]["name"]
        kind = self.scopes[where.scope]["kind"]
        base = f"{prefix}<locals>." if kind == "function" else prefix
        inner = self._scope(where.scope, "function", f"{base}{node.name}.")
        start = self._name_column(node)
        facts = FunctionFacts(
            name=node.name,
            scope=where.scope,
            inner=inner,
            is_async=isinstance(node, ast.AsyncFunctionDef),
            is_certain=where.is_certain,
            decorators=tuple(encode(decorator, self.columns) for decorator in node.decorator_list),
            parameters=[],
            returns=None,
            span=(node.lineno, start, node.lineno, start + len(node.name)),
            unread=None,
            blocking=[],
        )
        self.functions.append(facts)
        self._bind(where, node.name, ("def", len(self.functions) - 1), node)
        body = _Body(facts, node, where.body)
        self.bodies.append(body)
        names = self.scopes[inner]["names"]
        for variable in _type_variables(node):
            names[variable] = ("variable",)
        for argument in _arguments(node.args):
            annotation = encode(argument.annotation, self.columns) if argument.annotation else None
            names[argument.arg] = ("parameter", annotation)
        inside = _Where(inner, body)
        self._push(node.body, inside)
        defaults = [*node.args.defaults, *(default for default in node.args.kw_defaults if default is not None)]
        self._push([*node.decorator_list, *defaults], where)

    def _name_column(self, node: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) -> int:
        if self.lines is None:
            self.lines = self.text.split("\n")
        line = self.lines[node.lineno - 1]
        return line.find(node.name, self.columns(node.lineno, node.col_offset) - 1 + len("def ")) + 1

    def _finish(self, body: _Body) -> None:
        """Fill in what only the whole file tells of a function."""
        facts, node = body.facts, body.node
        if body.outer is not None:
            body.outer.reads |= body.reads
        if not node.decorator_list and node.name not in self.given:
            return
        facts["parameters"] = self._parameters(node.args)
        facts["returns"] = encode(node.returns, self.columns) if node.returns else None
        if not _is_stub(node.body) and not body.reads & _READS_ANY_NAME:
            facts["unread"] = tuple(item["name"] for item in facts["parameters"] if item["name"] not in body.reads)

    def _parameters(self, arguments: ast.arguments) -> list[ParameterFacts]:
        found: list[ParameterFacts] = []
        positional = [*arguments.posonlyargs, *arguments.args]
        plain: list[ast.expr | None] = [None] * (len(positional) - len(arguments.defaults))
        groups: list[tuple[ast.arg, ast.expr | None, Form]] = []
        for index, (argument, default) in enumerate(zip(positional, [*plain, *arguments.defaults], strict=True)):
            form = Form.POSITIONAL_ONLY if index < len(arguments.posonlyargs) else Form.KEYWORD
            groups.append((argument, default, form))
        if arguments.vararg:
            groups.append((arguments.vararg, None, Form.STAR_ARGS))
        groups += [
            (argument, default, Form.KEYWORD)
            for argument, default in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)
        ]
        if arguments.kwarg:
            groups.append((arguments.kwarg, None, Form.STAR_KWARGS))
        for argument, default, form in groups:
            found.append(
                ParameterFacts(
                    name=argument.arg,
                    form=form.value,
                    annotation=encode(argument.annotation, self.columns) if argument.annotation else None,
                    default=encode(default, self.columns) if default is not None else None,
                    span=self.columns.span(argument),
                )
            )
        return found

    def _class(self, node: ast.ClassDef, where: _Where) -> None:
        scope = self.scopes[where.scope]
        base = f"{scope['name']}<locals>." if scope["kind"] == "function" else scope["name"]
        inner = self._scope(where.scope, "class", f"{base}{node.name}.")
        for variable in _type_variables(node):
            self.scopes[inner]["names"][variable] = ("variable",)
        fields = [
            statement
            for statement in node.body
            if isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name)
        ]
        self.classes.append(
            ClassSourceFacts(
                name=node.name,
                scope=where.scope,
                inner=inner,
                bases=tuple(encode(item, self.columns) for item in node.bases),
                keywords={word.arg: encode(word.value, self.columns) for word in node.keywords if word.arg},
                decorators=tuple(encode(decorator, self.columns) for decorator in node.decorator_list),
                parameters=_type_variables(node),
                fields=[
                    {"name": statement.target.id, "annotation": encode(statement.annotation, self.columns)}
                    for statement in fields
                    if isinstance(statement.target, ast.Name)
                ],
                methods=tuple(item.name for item in node.body if isinstance(item, ast.FunctionDef)),
            )
        )
        self._bind(where, node.name, ("class", len(self.classes) - 1), node)
        self._push(node.body, _Where(inner, where.body))
        self._push([*node.decorator_list, *node.bases], where)

    # -- bindings ---------------------------------------------------------------------------------------------

    def _import(self, node: ast.Import, where: _Where) -> None:
        for alias in node.names:
            if alias.asname:
                self._bind(where, alias.asname, ("module", alias.name), node)
            else:
                top = alias.name.partition(".")[0]
                self._bind(where, top, ("package", top), node)

    def _import_from(self, node: ast.ImportFrom, where: _Where) -> None:
        module = node.module or ""
        for alias in node.names:
            if alias.name == "*":
                self.scopes[where.scope]["stars"].append((node.level, module))
            else:
                self._bind(where, alias.asname or alias.name, ("from", node.level, module, alias.name), node)

    def _assign(self, node: ast.Assign, where: _Where) -> None:
        for target in node.targets:
            if isinstance(target, ast.Name):
                self._bind(where, target.id, ("value", encode(node.value, self.columns)), node)
            else:
                self._unknown(where, target, "is unpacked")
                self._push([target], where)
        self._push([node.value], where)

    def _annotated(self, node: ast.AnnAssign, where: _Where) -> None:
        if node.value is None:
            return
        if isinstance(node.target, ast.Name):
            self._bind(where, node.target.id, ("value", encode(node.value, self.columns)), node)
        else:
            self._push([node.target], where)
        self._push([node.value], where)

    def _augmented(self, node: ast.AugAssign, where: _Where) -> None:
        self._unknown(where, node.target, "is changed")
        if isinstance(node.target, ast.Name):
            self._read(node.target.id, where)
        self._push([node.target, node.value], where)

    def _alias(self, node: ast.TypeAlias, where: _Where) -> None:
        parameters = _type_variables(node)
        self._bind(where, node.name.id, ("alias", parameters, encode(node.value, self.columns)), node)

    def _global(self, node: ast.Global | ast.Nonlocal, where: _Where) -> None:
        for name in node.names:
            for scope in self.scopes:
                if name in scope["names"] or scope["kind"] == "module":
                    scope["names"][name] = ("unknown", "is set in a function", self.columns.span(node))

    # -- statements -------------------------------------------------------------------------------------------

    def _if(self, node: ast.If, where: _Where) -> None:
        test = node.test
        if "TYPE_CHECKING" in (getattr(test, "id", None), getattr(test, "attr", None)):
            # what checkers see; the other branch names the same things for the interpreter
            self._push(node.body, where)
            return
        if isinstance(test, ast.Compare) and isinstance(test.left, ast.Name) and test.left.id == "__name__":
            self._push([*node.body, *node.orelse], where)
            return
        self._push([test], where)
        self._push([*node.body, *node.orelse], self._maybe(where))

    def _with(self, node: ast.With | ast.AsyncWith, where: _Where) -> None:
        reason = "is set by an async with" if isinstance(node, ast.AsyncWith) else "is set by a with statement"
        for item in node.items:
            if item.optional_vars is not None:
                self._unknown(where, item.optional_vars, reason)
        self._push(node.items, where)
        names = {part for item in node.items for part in _called(item.context_expr)}
        if "raises" in names:
            where = replace(where, is_certain=False, expects_error=True)
        self._push(node.body, self._maybe(where) if "suppress" in names else where)

    def _for(self, node: ast.For | ast.AsyncFor, where: _Where) -> None:
        self._unknown(where, node.target, "is set by a loop")
        self._push([node.iter, *node.body, *node.orelse], self._maybe(where))

    def _block(self, node: ast.stmt, where: _Where) -> None:
        if isinstance(node, ast.Try | ast.TryStar):
            for handler in node.handlers:
                if handler.name:
                    self._bind(where, handler.name, ("unknown", "is an exception", self.columns.span(node)), node)
        self._children(node, self._maybe(where))

    def _match_name(self, node: ast.MatchAs | ast.MatchStar, where: _Where) -> None:
        if node.name:
            names = self.scopes[where.scope]["names"]
            names[node.name] = ("unknown", "is set by a pattern", (node.lineno, 1, node.lineno, 1))
        self._children(node, where)

    def _maybe(self, where: _Where) -> _Where:
        if not where.is_certain:
            return where
        return replace(where, is_certain=False)

    def _statement(self, node: ast.Expr, where: _Where) -> None:
        if isinstance(node.value, ast.Call):
            self._call(node.value, where, is_dropped=True)
        elif not isinstance(node.value, ast.Constant):
            self._push([node.value], where)

    # -- expressions ------------------------------------------------------------------------------------------

    def _name(self, node: ast.Name, where: _Where) -> None:
        if not isinstance(node.ctx, ast.Store):
            self._read(node.id, where)

    def _read(self, name: str, where: _Where) -> None:
        if where.body is not None:
            where.body.reads.add(name)

    def _walrus(self, node: ast.NamedExpr, where: _Where) -> None:
        self._unknown(where, node.target, "is set in an expression")
        self._push([node.value], where)

    def _lambda(self, node: ast.Lambda, where: _Where) -> None:
        self._children(node, replace(where, is_certain=False, in_lambda=True))

    def _comprehension(self, node: ast.expr, where: _Where) -> None:
        self._children(node, self._maybe(where))

    def _call(self, node: ast.Call, where: _Where, is_dropped: bool = False) -> None:
        root: ast.expr = node
        attributes: list[str] = []
        calls: list[ast.Call] = []
        while isinstance(root, ast.Call | ast.Attribute):
            if isinstance(root, ast.Attribute):
                attributes.append(root.attr)
                root = root.value
            else:
                calls.append(root)
                root = root.func
        if isinstance(root, ast.Name):
            if self._may_be_flow(node, root.id, attributes, calls, where):
                self.calls.append(
                    CallFacts(
                        scope=where.scope,
                        expression=encode(node, self.columns),
                        is_dropped=is_dropped,
                        is_certain=where.is_certain,
                    )
                )
            if len(calls) == 1 and where.body is not None and where.body.facts["is_async"] and not where.in_lambda:
                self._blocking(node, root.id, attributes, where.body, where)
        rest: list[ast.AST] = [root]
        for call in calls:
            for argument in call.args:
                if isinstance(argument, ast.Name):
                    self.passed.add((where.scope, argument.id))
                elif isinstance(argument, ast.Starred) and isinstance(argument.value, ast.Name):
                    self.starred.add(argument.value.id)
                rest.append(argument)
            rest += [word.value for word in call.keywords]
        self._push(rest, where)

    def _may_be_flow(
        self, node: ast.Call, root: str, attributes: list[str], calls: list[ast.Call], where: _Where
    ) -> bool:
        """Whether a chain of calls is worth keeping: most have nothing to do with flows."""
        if where.expects_error:
            return False
        if isinstance(node.func, ast.Attribute):
            if node.func.attr == "insert" and len(node.args) <= 1:
                return True
            if node.func.attr == "add" and (len(node.args) >= 2 or "add" in attributes[1:] or len(calls) > 1):
                return True
        binding = self._binding(root, where.scope)
        if binding is None or binding[0] in ("def", "class", "parameter"):
            return False
        first = calls[-1].args[0] if calls[-1].args else None
        if not isinstance(first, ast.Constant | ast.Name | ast.JoinedStr | ast.Attribute):
            return False
        if binding[0] == "from" and binding[1] == 0:
            return str(binding[2]).partition(".")[0] not in _FOREIGN_ROOTS
        if binding[0] in ("module", "package"):
            return str(binding[1]).partition(".")[0] not in _FOREIGN_ROOTS
        return binding[0] in ("from", "value")

    def _binding(self, name: str, scope: int) -> Binding | None:
        start = scope
        while scope >= 0:
            facts = self.scopes[scope]
            found = facts["names"].get(name)
            if found is not None and (scope == start or facts["kind"] != "class"):
                return found
            scope = facts["parent"]
        return ("from", 1, "", name) if self.scopes[0]["stars"] else None

    def _blocking(self, node: ast.Call, root: str, attributes: list[str], body: _Body, where: _Where) -> None:
        binding = self._binding(root, where.scope)
        if binding is None:
            name = f"builtins.{root}" if not attributes else ""
        elif binding[0] == "from" and binding[1] == 0:
            name = ".".join([str(binding[2]), str(binding[3]), *reversed(attributes)])
        elif binding[0] in ("module", "package"):
            name = ".".join([str(binding[1]), *reversed(attributes)])
        else:
            return
        if name in BLOCKING:
            body.facts["blocking"].append((name, self.columns.span(node)))

    def _lists(self) -> set[str]:
        return {
            name
            for scope in self.scopes
            for name, binding in scope["names"].items()
            if binding[0] == "value" and isinstance(binding[1], tuple) and binding[1][0] == "list"
        }


def _arguments(arguments: ast.arguments) -> list[ast.arg]:
    every = [*arguments.posonlyargs, *arguments.args, arguments.vararg, *arguments.kwonlyargs, arguments.kwarg]
    return [argument for argument in every if argument is not None]


def _type_variables(node: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.TypeAlias) -> tuple[str, ...]:
    """The names in `def function[T, *Ts]`."""
    return tuple(str(getattr(variable, "name", "?")) for variable in node.type_params)


def _called(node: ast.expr) -> list[str]:
    """The last name of what a `with` statement calls."""
    function = node.func if isinstance(node, ast.Call) else node
    return [name for name in (getattr(function, "id", None), getattr(function, "attr", None)) if name]


def _is_stub(body: list[ast.stmt]) -> bool:
    """True for a body that is only `...`, `pass`, a docstring or a `raise`."""
    return all(
        isinstance(statement, ast.Pass | ast.Raise)
        or (isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant))
        for statement in body
    )


_VISITS: Final[dict[type[ast.AST], Callable[[_Walker, Any, _Where], None]]] = {
    ast.Name: _Walker._name,
    ast.Call: _Walker._call,
    ast.Expr: _Walker._statement,
    ast.FunctionDef: _Walker._function,
    ast.AsyncFunctionDef: _Walker._function,
    ast.ClassDef: _Walker._class,
    ast.Import: _Walker._import,
    ast.ImportFrom: _Walker._import_from,
    ast.Assign: _Walker._assign,
    ast.AnnAssign: _Walker._annotated,
    ast.AugAssign: _Walker._augmented,
    ast.TypeAlias: _Walker._alias,
    ast.Global: _Walker._global,
    ast.Nonlocal: _Walker._global,
    ast.If: _Walker._if,
    ast.With: _Walker._with,
    ast.AsyncWith: _Walker._with,
    ast.For: _Walker._for,
    ast.AsyncFor: _Walker._for,
    ast.While: _Walker._block,
    ast.Try: _Walker._block,
    ast.TryStar: _Walker._block,
    ast.Match: _Walker._block,
    ast.MatchAs: _Walker._match_name,
    ast.MatchStar: _Walker._match_name,
    ast.NamedExpr: _Walker._walrus,
    ast.Lambda: _Walker._lambda,
    ast.ListComp: _Walker._comprehension,
    ast.SetComp: _Walker._comprehension,
    ast.DictComp: _Walker._comprehension,
    ast.GeneratorExp: _Walker._comprehension,
}
