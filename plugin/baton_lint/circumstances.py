"""Where a walk through a file is: in which scope and function, and how certain it is that it gets there."""

from __future__ import annotations

import ast

from baton_lint.facts import FunctionFacts


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

    __slots__ = ("body", "expects_error", "in_lambda", "is_certain", "maybe", "scope")

    def __init__(
        self,
        scope: int,
        body: Body | None = None,
        *,
        is_certain: bool = True,
        in_lambda: bool = False,
        expects_error: bool = False,
    ) -> None:
        self.scope = scope
        self.body = body
        self.is_certain = is_certain
        self.in_lambda = in_lambda
        self.expects_error = expects_error
        """Under `pytest.raises`: what is written there is meant to be wrong."""
        self.maybe: Where = self
        """The same in a branch, a loop or a `try`."""
        if is_certain:
            self.maybe = Where(scope, body, is_certain=False, in_lambda=in_lambda, expects_error=expects_error)
