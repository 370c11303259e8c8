"""The facts about one source file, as plain values that can be marshalled."""

from __future__ import annotations

from typing import Any, NotRequired, TypedDict

from baton_lint.source.expressions import Expression, Span

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
    ("either", binding, binding)      for type checkers and at run time; or by `try: import ... except ImportError`
    ("unknown", reason, span)         bound twice, in a branch, in a loop, ...
"""


class ScopeFacts(TypedDict):
    """One namespace."""

    parent: int
    """Index of the scope around it; -1 for the module."""
    kind: str
    """`module`, `class`, `function`, or `types` for the type parameters of one of these."""
    name: str
    """The qualified name with a dot at its end, as Python's `__qualname__` would begin; empty for the module."""
    names: dict[str, Binding]
    absent: list[str]
    """Those names that are bound under `TYPE_CHECKING` alone."""
    stars: list[tuple[int, str, str]]
    """`from module import *`: level, module and view; "maybe" where it may not run."""


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
    annotated: int
    """The scope that its annotations are evaluated in: that of its type parameters, if it has any."""
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
    is_excluded: bool
    """True if the field is never written: `Field(exclude=True)`."""


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
    stores_by_itself: bool
    """True with serializers, early validators or JSON encoders: what its fields are says nothing of its JSON."""


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
    is_deferred: bool
    """True with `from __future__ import annotations`."""
    is_dynamic: bool
    """True if the module may get names in a way that can't be seen."""
    rebuilds: bool
    """True if it completes classes by hand."""
    hooked: list[str]
    """Names of classes that get a schema of their own by an assignment from outside."""
    cells: NotRequired[list[tuple[int, int]]]
    """Of a notebook, whose cells are one text: the first line of each, and its number among all cells."""
