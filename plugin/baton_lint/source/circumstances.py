"""The circumstances of a node during a walk: its scope and function, and whether its code certainly runs."""

from __future__ import annotations

import ast

from baton_lint.source.facts import FunctionFacts
from baton_lint.source.nodes import push_children

CHECKING = "checking"
"""Under `if TYPE_CHECKING`: only for type checkers."""
TRYING = "trying"
"""In a `try` that expects an import to fail."""
FALLBACK = "fallback"
"""In the handler after an import has failed."""


DEEPER = "deeper"
"""In a branch of such a handler."""
_ATTEMPTS = {TRYING: "", FALLBACK: DEEPER}
"""Views in which every name is bound if execution continues -> the view of branches inside."""


class Body:
    """What is collected while the body of a function is walked."""

    __slots__ = ("facts", "node", "outer", "reads")

    def __init__(self, facts: FunctionFacts, node: ast.FunctionDef | ast.AsyncFunctionDef, outer: Body | None) -> None:
        self.facts = facts
        self.node = node
        self.outer = outer
        self.reads: set[str] = set()


class Where:
    """The circumstances of a node. Not a dataclass: importing dataclasses takes as long as reading twenty files."""

    __slots__ = ("_maybe", "body", "expects_error", "in_lambda", "is_bound", "is_certain", "reads", "scope", "view")

    def __init__(
        self,
        scope: int,
        body: Body | None = None,
        *,
        is_certain: bool = True,
        in_lambda: bool = False,
        expects_error: bool = False,
        view: str = "",
    ) -> None:
        self.scope = scope
        self.body = body
        self.reads: set[str] = set() if body is None else body.reads
        """The names that the function around it reads; not used outside of functions."""
        self.is_certain = is_certain
        self.is_bound = is_certain or view == FALLBACK
        """True if a name that is bound here is certainly bound afterwards."""
        self.in_lambda = in_lambda
        self.expects_error = expects_error
        """True under `pytest.raises`, where code is wrong on purpose."""
        self.view = view
        """`CHECKING`, `TRYING`, `FALLBACK`, `DEEPER`, or empty."""
        self._maybe: Where | None = None

    @property
    def maybe(self) -> Where:
        """The same in a branch, a loop or a `try`.

        An attribute that refers to the object itself would be simpler. But garbage collection is off, so such a cycle
        would keep the syntax tree of every file in memory.
        """
        if not self.is_certain and self.view not in _ATTEMPTS:
            return self
        if self._maybe is None:
            self._maybe = Where(
                self.scope,
                self.body,
                is_certain=False,
                in_lambda=self.in_lambda,
                expects_error=self.expects_error,
                view=_ATTEMPTS.get(self.view, self.view),
            )
        return self._maybe

    def seen_as(self, view: str) -> Where:
        """The same in another view."""
        is_certain = self.is_certain and view not in _ATTEMPTS
        return Where(
            self.scope,
            self.body,
            is_certain=is_certain,
            in_lambda=self.in_lambda,
            expects_error=self.expects_error,
            view=view,
        )


def push_yield(stack: list[tuple[ast.AST, Where]], node: ast.AST, where: Where) -> None:
    """Mark the function as a generator, unless the `yield` belongs to a lambda, and continue inside."""
    if where.body is not None and not where.in_lambda:
        where.body.facts["is_generator"] = True
    push_children(stack, node, where)
