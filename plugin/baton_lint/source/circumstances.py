"""Where a walk through a file is: its scope and function, and whether the code certainly runs."""

from __future__ import annotations

import ast

from baton_lint.source.facts import FunctionFacts
from baton_lint.source.nodes import push_children

CHECKING = "checking"
"""Under `if TYPE_CHECKING`: for type checkers alone."""
TRYING = "trying"
"""In a `try` that expects an import to fail."""
FALLBACK = "fallback"
"""What is done instead, once an import has failed."""


DEEPER = "deeper"
"""In a branch of such a fallback."""
_ATTEMPTS = {TRYING: "", FALLBACK: DEEPER}
"""Views in which each name is bound or else nothing goes on, to the view of the branches inside."""


class Body:
    """What is gathered while the body of a function is walked."""

    __slots__ = ("facts", "node", "outer", "reads")

    def __init__(self, facts: FunctionFacts, node: ast.FunctionDef | ast.AsyncFunctionDef, outer: Body | None) -> None:
        self.facts = facts
        self.node = node
        self.outer = outer
        self.reads: set[str] = set()


class Where:
    """The circumstances of a node. No dataclass: their import takes as long as twenty files."""

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
        """The names that the function reads; outside of functions nobody asks."""
        self.is_certain = is_certain
        self.is_bound = is_certain or view == FALLBACK
        """Whether a name that is bound here is bound wherever the program gets so far."""
        self.in_lambda = in_lambda
        self.expects_error = expects_error
        """Under `pytest.raises`: what is written there is meant to be wrong."""
        self.view = view
        """`CHECKING`, `TRYING`, `FALLBACK`, `DEEPER`, or nothing."""
        self._maybe: Where | None = None

    @property
    def maybe(self) -> Where:
        """The same in a branch, a loop or a `try`.

        Nothing here refers to itself: such a thing, with the whole syntax tree that hangs on it, is not freed before
        garbage is collected, and that is off.
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
    """Take note of what makes a function a generator, unless a lambda around it is one, and go on inside."""
    if where.body is not None and not where.in_lambda:
        where.body.facts["is_generator"] = True
    push_children(stack, node, where)
