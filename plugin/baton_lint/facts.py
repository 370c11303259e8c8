"""What is known of one source file, as plain values that can be marshalled."""

from __future__ import annotations

from typing import Any, NotRequired, TypedDict

from baton_lint.expressions import Expression, Span

type Binding = tuple[Any, ...]
"""What a name stands for in a scope:

    ("module", dotted)                `import a.b as c`
    ("package", top)                  `import a.b` binds `a`
    ("from", level, module, name)     `from ..module import name`
    ("def", index)                    of `FileFacts.functions`
    ("class", index)                  of `FileFacts.classes`
    ("value", expression)             `name = expression`
    ("alias", parameters, expression) `type name[parameters] = expression`
    ("parameter", annotation or None)
    ("variable",)                     a type parameter
    ("unknown", reason, span)         bound twice, in a branch, in a loop, ...
"""


class ScopeFacts(TypedDict):
    """One namespace."""

    parent: int
    """Index of the scope around it; -1 for the module."""
    kind: str
    """`module`, `class` or `function`."""
    name: str
    """The qualified name with a dot at its end, as Python's `__qualname__` would begin; empty for the module."""
    names: dict[str, Binding]
    stars: list[tuple[int, str]]
    """`from module import *`: level and module."""


class ParameterFacts(TypedDict):
    """One parameter of a function."""

    name: str
    form: str
    """The value of a `Form`."""
    annotation: Expression | None
    default: Expression | None
    span: Span


class FunctionFacts(TypedDict):
    """One function."""

    name: str
    scope: int
    """The scope that it is defined in."""
    inner: int
    """The scope of its body."""
    is_async: bool
    is_generator: bool
    """Whether the body has a `yield`; known only of what somebody could take for a step."""
    is_certain: bool
    """False for a `def` in a branch, a loop or a `try`."""
    decorators: tuple[Expression, ...]
    parameters: list[ParameterFacts]
    """Empty if nobody could take this function for a step."""
    returns: Expression | None
    span: Span
    """The name after `def`."""
    unread: tuple[str, ...] | None
    """Parameters that the body never reads; None if the body is a stub or reads names by other means."""
    blocking: list[tuple[str, Span]]
    """Calls that may block, by full name, made in the body itself."""


class ClassFieldFacts(TypedDict):
    """One annotated name in the body of a class."""

    name: str
    annotation: Expression


class ClassSourceFacts(TypedDict):
    """One class."""

    name: str
    scope: int
    inner: int
    bases: tuple[Expression, ...]
    keywords: dict[str, Expression]
    decorators: tuple[Expression, ...]
    parameters: tuple[str, ...]
    fields: list[ClassFieldFacts]
    methods: tuple[str, ...]


class CallFacts(TypedDict):
    """One chain of calls that may make, grow or insert a flow."""

    scope: int
    expression: Expression
    is_dropped: bool
    """A statement of its own, not awaited."""
    is_certain: bool
    """False in a branch, a loop, a `with` or a `try`."""


class CommentFacts(TypedDict):
    """One `# baton: ignore[...]`."""

    span: Span
    codes: list[tuple[str, Span]]
    """Empty for all codes."""


class FileFacts(TypedDict):
    """All that is known of one file."""

    error: tuple[str, Span] | None
    """Why it can't be parsed."""
    scopes: list[ScopeFacts]
    functions: list[FunctionFacts]
    classes: list[ClassSourceFacts]
    calls: list[CallFacts]
    passed: list[tuple[int, str]]
    """Names that are given to some call as they are, by scope."""
    written: list[str]
    """Names of lists that may change after they were made."""
    comments: list[CommentFacts]
    cells: NotRequired[list[tuple[int, int]]]
    """Of a notebook, whose cells are one text: the first line of each, and its number among all cells."""
