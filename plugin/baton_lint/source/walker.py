"""Walk the `ast` of a file once, and collect all of its facts."""

from __future__ import annotations

import ast
from collections.abc import Callable, Sequence
from typing import Any, Final

from baton_lint.source.circumstances import CHECKING, FALLBACK, TRYING, Body, Where, push_yield
from baton_lint.source.comments import ignore_comments
from baton_lint.source.definitions import class_facts, is_stub, last_names, parameters_of, type_variables
from baton_lint.source.expressions import Columns, encode
from baton_lint.source.facts import Binding, CallFacts, ClassSourceFacts, FileFacts, FunctionFacts, ScopeFacts
from baton_lint.source.kept_calls import Chain, plain_callee
from baton_lint.source.mutation import is_dynamic, lists_of, may_change, rebuilds
from baton_lint.source.nodes import push_all, push_children
from baton_lint.source.views import Views, expects_no_module, is_for_checkers

_HOOKS: Final = frozenset({"__get_pydantic_core_schema__", "__get_validators__"})
_IMPORTS: Final = frozenset({"module", "package", "from"})
_DEFERRED: Final = ("from", 0, "__future__", "annotations")
_UNCERTAIN: Final = "is set in a branch, a loop or a with block"
_AGAIN: Final = "is set more than once"
_READS_ANY_NAME: Final = frozenset({"locals", "vars", "eval", "exec", "dir"})


class Walker:
    """Walks one file.

    Args:
        text: The source.
    """

    def __init__(self, text: str) -> None:
        self.text = text
        self.columns = Columns(text)
        self.lines = self.columns.lines
        self.scopes: list[ScopeFacts] = []
        self.functions: list[FunctionFacts] = []
        self.classes: list[ClassSourceFacts] = []
        self.calls: list[CallFacts] = []
        self.passed: set[tuple[int, str]] = set()
        self.bodies: list[Body] = []
        self.given: set[str] = set()
        self.starred: set[str] = set()
        self.hooked: set[str] = set()
        self.views = Views()
        self.stack: list[tuple[ast.AST, Where]] = []

    def facts(self) -> FileFacts:
        """The collected facts."""
        self.given = {name for _, name in self.passed}
        for body in reversed(self.bodies):  # inner ones first
            self._finish(body)
        self.views.merge(self.scopes)
        return FileFacts(
            error=None,
            scopes=self.scopes,
            functions=self.functions,
            classes=self.classes,
            calls=self.calls,
            passed=sorted(self.passed),
            written=may_change(self.text, lists_of(self.scopes) | self.starred),
            comments=ignore_comments(self.text),
            is_deferred=self.scopes[0]["names"].get("annotations") == _DEFERRED,
            is_dynamic=is_dynamic(self.text),
            rebuilds=rebuilds(self.text),
            hooked=sorted(self.hooked),
        )

    # -- the walk ---------------------------------------------------------------------------------------------

    def walk(self, tree: ast.Module) -> None:
        """Visit every node, with an explicit stack because a long `elif` chain is deeply nested."""
        module = Where(self._scope(-1, "module", ""))
        self._push(tree.body, module)
        stack = self.stack
        visits = _VISITS
        while stack:
            node, where = stack.pop()
            kind = type(node)
            if kind in visits:
                visits[kind](self, node, where)
            else:
                push_children(stack, node, where)

    def _push(self, nodes: Sequence[ast.AST], where: Where) -> None:
        push_all(self.stack, nodes, where)

    def _scope(self, parent: int, kind: str, name: str) -> int:
        self.scopes.append(ScopeFacts(parent=parent, kind=kind, name=name, names={}, absent=[], stars=[]))
        return len(self.scopes) - 1

    def _names(self, where: Where) -> dict[str, Binding]:
        names = self.scopes[where.scope]["names"]
        return self.views.names(where.view, where.scope, names) if where.view else names

    def _bind(self, where: Where, name: str, binding: Binding, node: ast.stmt | ast.expr) -> None:
        names = self._names(where)
        if name not in names:
            if not (where.is_bound or (where.view == TRYING and binding[0] in _IMPORTS)):
                binding = ("unknown", _UNCERTAIN, self.columns.span(node))
            names[name] = binding
        elif names[name] != binding:
            names[name] = ("unknown", _AGAIN, self.columns.span(node))

    def _bind_value(self, where: Where, name: str, value: ast.expr, node: ast.stmt) -> None:
        """Bind a name to an expression, which is encoded only if the name is bound just once and for certain."""
        names = self._names(where)
        if name in names:
            names[name] = ("unknown", _AGAIN, self.columns.span(node))
        elif where.is_bound:
            names[name] = self._value(value, where)
        else:
            names[name] = ("unknown", _UNCERTAIN, self.columns.span(node))

    def _unknown(self, where: Where, target: ast.AST, reason: str) -> None:
        """Bind all names in a target to an unknown value."""
        names = self._names(where)
        for node in (target,) if type(target) is ast.Name else ast.walk(target):
            if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load):
                why = _AGAIN if node.id in names else reason if where.is_bound else _UNCERTAIN
                names[node.id] = ("unknown", why, self.columns.span(node))

    # -- definitions ------------------------------------------------------------------------------------------

    def visit_function(self, node: ast.FunctionDef | ast.AsyncFunctionDef, where: Where) -> None:
        """Enter a function, which is a scope and may be a step."""
        prefix = self.scopes[where.scope]["name"]
        kind = self.scopes[where.scope]["kind"]
        base = f"{prefix}<locals>." if kind == "function" else prefix
        annotated = self._type_scope(node, where.scope)
        inner = self._scope(annotated, "function", f"{base}{node.name}.")
        start = self._name_column(node)
        facts = FunctionFacts(
            name=node.name,
            scope=where.scope,
            annotated=annotated,
            inner=inner,
            is_async=isinstance(node, ast.AsyncFunctionDef),
            is_generator=False,
            is_certain=where.is_certain,
            decorators=tuple(encode(decorator, self.columns) for decorator in node.decorator_list),
            parameters=parameters_of(node.args, self.columns),
            returns=None,
            span=(node.lineno, start, node.lineno, start + len(node.name)),
            unread=None,
            blocking=[],
        )
        self.functions.append(facts)
        if not any("overload" in last_names(decorator) for decorator in node.decorator_list):
            self._bind(where, node.name, ("def", len(self.functions) - 1), node)
        body = Body(facts, node, where.body)
        self.bodies.append(body)
        names = self.scopes[inner]["names"]
        for parameter in facts["parameters"]:
            names[parameter["name"]] = ("parameter", parameter["annotation"])
        inside = Where(inner, body)
        self._push(node.body, inside)
        defaults = [*node.args.defaults, *(default for default in node.args.kw_defaults if default is not None)]
        self._push([*node.decorator_list, *defaults], where)

    def _type_scope(self, node: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef, scope: int) -> int:
        """The scope of a definition's type parameters; without any, the scope around it."""
        variables = type_variables(node)
        if not variables:
            return scope
        around = self.scopes[scope]
        inner = self._scope(scope, "types", around["name"])
        self.scopes[inner]["names"].update(dict.fromkeys(variables, ("variable",)))
        return inner

    def _name_column(self, node: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) -> int:
        if self.lines is None:
            self.lines = self.text.split("\n")
        line = self.lines[node.lineno - 1]
        return line.find(node.name, self.columns(node.lineno, node.col_offset) - 1 + len("def ")) + 1

    def _finish(self, body: Body) -> None:
        """Fill in the facts of a function that need the whole file."""
        facts, node = body.facts, body.node
        if body.outer is not None:
            body.outer.reads |= body.reads
        if not node.decorator_list and node.name not in self.given:
            facts["parameters"] = []
            return
        facts["returns"] = encode(node.returns, self.columns) if node.returns else None
        if not is_stub(node.body) and not body.reads & _READS_ANY_NAME:
            facts["unread"] = tuple(item["name"] for item in facts["parameters"] if item["name"] not in body.reads)

    def visit_class(self, node: ast.ClassDef, where: Where) -> None:
        """Enter a class."""
        scope = self.scopes[where.scope]
        base = f"{scope['name']}<locals>." if scope["kind"] == "function" else scope["name"]
        around = self._type_scope(node, where.scope)
        inner = self._scope(around, "class", f"{base}{node.name}.")
        self.classes.append(class_facts(node, around, inner, self.columns))
        self._bind(where, node.name, ("class", len(self.classes) - 1), node)
        self._push(node.body, Where(inner, where.body))
        self._push([*node.decorator_list, *node.bases], where)

    # -- bindings ---------------------------------------------------------------------------------------------

    def visit_import(self, node: ast.Import, where: Where) -> None:
        """Bind modules."""
        for alias in node.names:
            if alias.asname:
                self._bind(where, alias.asname, ("module", alias.name), node)
            else:
                top = alias.name.partition(".")[0]
                self._bind(where, top, ("package", top), node)

    def visit_import_from(self, node: ast.ImportFrom, where: Where) -> None:
        """Bind names of modules."""
        module = node.module or ""
        for alias in node.names:
            if alias.name == "*":
                scope = self.scopes[where.scope]
                view = where.view if where.is_certain or where.view == CHECKING else "maybe"
                scope["stars"].append((node.level, module, view))
            else:
                self._bind(where, alias.asname or alias.name, ("from", node.level, module, alias.name), node)

    def visit_assign(self, node: ast.Assign, where: Where) -> None:
        """Bind names to an expression."""
        for target in node.targets:
            if isinstance(target, ast.Name):
                self._bind_value(where, target.id, node.value, node)
            elif isinstance(target, ast.Attribute) and target.attr in _HOOKS:
                self.hooked.update(last_names(target.value))
                self._push([target], where)
            else:
                self._unknown(where, target, "is unpacked")
                self._push([target], where)
        self._push([node.value], where)

    def _value(self, node: ast.expr, where: Where) -> Binding:
        """The binding for an assigned value. The values of most expressions are unknown."""
        if isinstance(node, ast.BinOp) and not isinstance(node.op, ast.BitOr):
            return ("unknown", "is worked out at run time", self.columns.span(node))
        if isinstance(node, ast.Call):
            chain = Chain(node)
            root = chain.root.id if isinstance(chain.root, ast.Name) else None
            binding = self._binding(root, where.scope) if root else None
            if not chain.may_be_value(binding):
                return ("unknown", "is what a call gives", self.columns.span(node))
        return ("value", encode(node, self.columns))

    def visit_annotated(self, node: ast.AnnAssign, where: Where) -> None:
        """Bind a name that has an annotation."""
        if node.value is None:
            return
        if isinstance(node.target, ast.Name):
            self._bind_value(where, node.target.id, node.value, node)
        else:
            self._push([node.target], where)
        self._push([node.value], where)

    def visit_augmented(self, node: ast.AugAssign, where: Where) -> None:
        """Mark a name that is changed as unknown."""
        self._unknown(where, node.target, "is changed")
        if isinstance(node.target, ast.Name):
            where.reads.add(node.target.id)
        self._push([node.value, node.target], where)

    def visit_alias(self, node: ast.TypeAlias, where: Where) -> None:
        """Bind a `type` alias."""
        parameters = type_variables(node)
        self._bind(where, node.name.id, ("alias", parameters, encode(node.value, self.columns)), node)

    def visit_global(self, node: ast.Global | ast.Nonlocal, where: Where) -> None:
        """Mark a name that a function sets as unknown."""
        for name in node.names:
            for scope in self.scopes:
                if name in scope["names"] or scope["kind"] == "module":
                    scope["names"][name] = ("unknown", "is set in a function", self.columns.span(node))

    # -- statements -------------------------------------------------------------------------------------------

    def visit_if(self, node: ast.If, where: Where) -> None:
        """Enter a branch, whose bindings are uncertain unless it is for type checkers."""
        test = node.test
        for_checkers = is_for_checkers(test, lambda name: self._binding(name, where.scope))
        if for_checkers is not None:
            seen, run = (node.body, node.orelse) if for_checkers else (node.orelse, node.body)
            self._push(run, where)
            self._push(seen, where.seen_as(CHECKING))
            return
        if isinstance(test, ast.Compare) and isinstance(test.left, ast.Name) and test.left.id == "__name__":
            self._push([*node.body, *node.orelse], where)
            return
        self._push([test], where)
        self._push([*node.body, *node.orelse], where.maybe)

    def visit_with(self, node: ast.With | ast.AsyncWith, where: Where) -> None:
        """Enter a `with` block, which runs unless it suppresses errors."""
        reason = "is set by an async with" if isinstance(node, ast.AsyncWith) else "is set by a with statement"
        for item in node.items:
            if item.optional_vars is not None:
                self._unknown(where, item.optional_vars, reason)
        self._push(node.items, where)
        names = {part for item in node.items for part in last_names(item.context_expr)}
        if "raises" in names:
            where = Where(where.scope, where.body, is_certain=False, expects_error=True)
        self._push(node.body, where.maybe if "suppress" in names else where)

    def visit_for(self, node: ast.For | ast.AsyncFor, where: Where) -> None:
        """Enter a loop."""
        self._unknown(where, node.target, "is set by a loop")
        self._push([node.iter, *node.body, *node.orelse], where.maybe)

    def visit_block(self, node: ast.stmt, where: Where) -> None:
        """Enter any other block that may not run to its end."""
        if isinstance(node, ast.Try) and where.is_certain and expects_no_module(node):
            self._push([*node.orelse, *node.finalbody], where.maybe)
            for handler in node.handlers:
                self._push(handler.body, where.seen_as(FALLBACK))
            self._push(node.body, where.seen_as(TRYING))
            return
        if isinstance(node, ast.Try | ast.TryStar):
            for handler in node.handlers:
                if handler.name:
                    self._bind(where, handler.name, ("unknown", "is an exception", self.columns.span(node)), node)
        push_children(self.stack, node, where.maybe)

    def visit_match_name(self, node: ast.MatchAs | ast.MatchStar, where: Where) -> None:
        """Bind a name in a pattern."""
        if node.name:
            names = self.scopes[where.scope]["names"]
            names[node.name] = ("unknown", "is set by a pattern", (node.lineno, 1, node.lineno, 1))
        push_children(self.stack, node, where)

    def visit_statement(self, node: ast.Expr, where: Where) -> None:
        """Visit an expression statement: perhaps a call that nobody awaits."""
        if isinstance(node.value, ast.Call):
            self.visit_call(node.value, where, is_dropped=True)
        elif not isinstance(node.value, ast.Constant):
            self._push([node.value], where)

    # -- expressions ------------------------------------------------------------------------------------------

    def visit_walrus(self, node: ast.NamedExpr, where: Where) -> None:
        """Bind a name in an expression."""
        self._unknown(where, node.target, "is set in an expression")
        self._push([node.value], where)

    def visit_lambda(self, node: ast.Lambda, where: Where) -> None:
        """Enter a lambda, whose calls run later, if at all."""
        push_children(self.stack, node, Where(where.scope, where.body, is_certain=False, in_lambda=True))

    def visit_comprehension(self, node: ast.expr, where: Where) -> None:
        """Enter a comprehension, whose calls may run any number of times."""
        push_children(self.stack, node, where.maybe)

    def visit_call(self, node: ast.Call, where: Where, is_dropped: bool = False) -> None:
        """Visit a call with the chain left of it."""
        name, kinds = plain_callee(node)
        if name is not None:
            binding = self._binding(name, where.scope)
            if binding is None or binding[0] in kinds:
                where.reads.add(name)
                self._arguments(node, where)
                return
        chain = Chain(node)
        if isinstance(chain.root, ast.Name):
            binding = self._binding(chain.root.id, where.scope)
            if not where.expects_error and chain.may_be_flow(binding):
                self.calls.append(
                    CallFacts(
                        scope=where.scope,
                        expression=encode(node, self.columns),
                        is_dropped=is_dropped,
                        is_certain=where.is_certain,
                    )
                )
            if where.body is not None and where.body.facts["is_async"] and not where.in_lambda:
                blocking = chain.blocks(binding)
                if blocking is not None:
                    where.body.facts["blocking"].append((blocking, self.columns.span(node)))
        for call in chain.calls:
            self._arguments(call, where)
        self._push([chain.root], where)

    def _arguments(self, call: ast.Call, where: Where) -> None:
        keywords, arguments = call.keywords, call.args
        if keywords:
            push_all(self.stack, [word.value for word in reversed(keywords)], where)
        for argument in arguments:
            if type(argument) is ast.Name:
                self.passed.add((where.scope, argument.id))
            elif type(argument) is ast.Starred and isinstance(argument.value, ast.Name):
                self.starred.add(argument.value.id)
        if arguments:
            push_all(self.stack, arguments, where)

    def _binding(self, name: str, scope: int) -> Binding | None:
        start = scope
        while scope >= 0:
            facts = self.scopes[scope]
            found = facts["names"].get(name)
            if found is None and self.views.hold_names:
                found = self.views.binding(scope, name)
            if found is not None and (scope == start or facts["kind"] != "class"):
                return found
            scope = facts["parent"]
        return ("from", 1, "", name) if self.scopes[0]["stars"] else None


_VISITS: Final[dict[type[ast.AST], Callable[[Walker, Any, Where], None]]] = {
    ast.Call: Walker.visit_call,
    ast.Expr: Walker.visit_statement,
    ast.FunctionDef: Walker.visit_function,
    ast.AsyncFunctionDef: Walker.visit_function,
    ast.ClassDef: Walker.visit_class,
    ast.Import: Walker.visit_import,
    ast.ImportFrom: Walker.visit_import_from,
    ast.Assign: Walker.visit_assign,
    ast.AnnAssign: Walker.visit_annotated,
    ast.AugAssign: Walker.visit_augmented,
    ast.TypeAlias: Walker.visit_alias,
    ast.Global: Walker.visit_global,
    ast.Nonlocal: Walker.visit_global,
    ast.If: Walker.visit_if,
    ast.With: Walker.visit_with,
    ast.AsyncWith: Walker.visit_with,
    ast.For: Walker.visit_for,
    ast.AsyncFor: Walker.visit_for,
    ast.While: Walker.visit_block,
    ast.Try: Walker.visit_block,
    ast.TryStar: Walker.visit_block,
    ast.Match: Walker.visit_block,
    ast.MatchAs: Walker.visit_match_name,
    ast.MatchStar: Walker.visit_match_name,
    ast.NamedExpr: Walker.visit_walrus,
    **dict.fromkeys((ast.Yield, ast.YieldFrom), lambda walker, node, where: push_yield(walker.stack, node, where)),
    ast.Lambda: Walker.visit_lambda,
    ast.ListComp: Walker.visit_comprehension,
    ast.SetComp: Walker.visit_comprehension,
    ast.DictComp: Walker.visit_comprehension,
    ast.GeneratorExp: Walker.visit_comprehension,
}
