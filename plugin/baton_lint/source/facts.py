"""The facts about one source file, as plain values that can be marshalled."""

from __future__ import annotations

from typing import Any, NotRequired, TypedDict

from baton_lint.source.expressions import Expression, Span

type Binding = tuple[Any, ...]
"""What a name is bound to in a scope:

    ("module", dotted)                `import a.b as c`
    ("package", top)                  `import a.b` binds `a`
    ("from", level, module, name)     `from ..module import name`
    ("def", index)                    of `FileFacts.functions`
    ("class", index)                  of `FileFacts.classes`
    ("value", expression)             `name = expression`
    ("alias", parameters, expression) `type name[parameters] = expression`
    ("parameter", annotation or None)
    ("variable",)                     a type parameter
    ("either", binding, binding)   two bindings: for type checkers and at run time, or from `try: import ...`
    ("unknown", reason, span)         bound twice, in a branch, in a loop, ...
"""


class ScopeFacts(TypedDict):
    """One namespace."""

    parent: int
    """The index of the outer scope; -1 for the module."""
    kind: str
    """`module`, `class`, `function`, or `types` for the type parameters of one of these."""
    name: str
    """The prefix of `__qualname__` in this scope, with a dot at its end; empty for the module."""
    names: dict[str, Binding]
    absent: list[str]
    """The names that are bound only under `TYPE_CHECKING`."""
    stars: list[tuple[int, str, str]]
    """`from module import *`: level, module and view; "maybe" if it may not run."""


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
    """The scope in which it is defined."""
    annotated: int
    """The scope in which its annotations are evaluated: that of its type parameters, if it has any."""
    inner: int
    """The scope of its body."""
    is_async: bool
    is_generator: bool
    """Whether the body has a `yield`; known only for functions that may be steps."""
    is_certain: bool
    """False for a `def` in a branch, a loop or a `try`."""
    decorators: tuple[Expression, ...]
    parameters: list[ParameterFacts]
    """The parameters; empty if the function can't be a step."""
    returns: Expression | None
    span: Span
    """The place of the name after `def`."""
    unread: tuple[str, ...] | None
    """Parameters that the body never reads; None if the body is a stub or may read names dynamically."""
    blocking: list[tuple[str, Span]]
    """Calls in the body itself that may block, by full name."""


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
    """True with serializers, early validators or JSON encoders: then the types of its fields prove nothing."""


class CallFacts(TypedDict):
    """One chain of calls that may create, extend or insert a flow."""

    scope: int
    expression: Expression
    is_dropped: bool
    """True for a statement of its own that is not awaited."""
    is_certain: bool
    """False in a branch, a loop, a `with` or a `try`."""


class CommentFacts(TypedDict):
    """One `# baton: ignore[...]`."""

    span: Span
    codes: list[tuple[str, Span]]
    """The codes; empty for all."""


class FileFacts(TypedDict):
    """All facts of one file."""

    error: tuple[str, Span] | None
    """Why it can't be parsed."""
    scopes: list[ScopeFacts]
    functions: list[FunctionFacts]
    classes: list[ClassSourceFacts]
    calls: list[CallFacts]
    passed: list[tuple[int, str]]
    """Names that are passed to a call as they are, with their scopes."""
    written: list[str]
    """Names of lists that may change after they were created."""
    comments: list[CommentFacts]
    is_deferred: bool
    """True with `from __future__ import annotations`."""
    is_dynamic: bool
    """True if the module may get names dynamically."""
    rebuilds: bool
    """True if it completes classes by hand (`model_rebuild`)."""
    hooked: list[str]
    """Names of classes whose schema is assigned from outside."""
    cells: NotRequired[list[tuple[int, int]]]
    """For a notebook, whose cells form one text: the first line of each cell, and its number among all cells."""
