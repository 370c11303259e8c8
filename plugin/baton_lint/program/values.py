"""Values of expressions in user code, as far as the text shows them."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from baton_dsl.core.spec import Place
from baton_lint.program.project import Module
from baton_lint.source.expressions import Expression, Span


@dataclass(frozen=True, slots=True)
class External:
    """Something outside the project, by its full name: `typing.Optional`, `baton_dsl.step`."""

    name: str


@dataclass(frozen=True, slots=True)
class ModuleValue:
    """A module of the project."""

    module: Module


@dataclass(frozen=True, slots=True)
class FunctionValue:
    """A function without decorators."""

    path: str
    index: int


@dataclass(frozen=True, slots=True)
class Keyword:
    """A keyword argument, with the file and scope that it was written in."""

    name: str
    span: Span
    expression: Expression
    path: str
    scope: int


def rebound(bound: tuple[Keyword, ...], given: tuple[Keyword, ...]) -> tuple[Keyword, ...]:
    """The bound inputs after another `bind`: later values win."""
    names = {keyword.name for keyword in given}
    return (*(keyword for keyword in bound if keyword.name not in names), *given)


@dataclass(frozen=True, slots=True)
class StepMaker:
    """`step(queue=...)`: a decorator."""

    options: tuple[Keyword, ...] = ()
    hides_options: bool = False
    """True for `step(**options)`."""


@dataclass(frozen=True, slots=True)
class StepValue:
    """A step, perhaps under another name and with inputs bound."""

    path: str
    index: int | None
    """The index of its function in the file; None for a lambda."""
    name: str | None
    """Its name; None if that is unknown."""
    maker: StepMaker
    bound: tuple[Keyword, ...] = ()
    bind: tuple[str, Span] | None = None
    """The place of the last call of `bind`."""
    hides_bound: bool = False
    """True for `bind(**inputs)`."""
    above: tuple[Expression, ...] = ()
    """Decorators that wrap the step."""
    is_wrapped: bool = False
    """True if there are other decorators below `@step`."""


@dataclass(frozen=True, slots=True)
class FlowValue:
    """A flow, by the place of its `Flow(...)`, perhaps with inputs bound."""

    path: str
    span: Span
    bound: tuple[Keyword, ...] = field(default=(), compare=False)
    hides_bound: bool = field(default=False, compare=False)
    """True for `bind(**inputs)`."""

    def binding(self, given: tuple[Keyword, ...], *, hides: bool) -> FlowValue:
        """The same flow with more inputs bound.

        Args:
            given: The arguments of `bind`.
            hides: Whether the call has more arguments that can't be seen.
        """
        return replace(self, bound=rebound(self.bound, given), hides_bound=self.hides_bound or hides)


@dataclass(frozen=True, slots=True)
class ClassValue:
    """A class of the project."""

    path: str
    index: int


@dataclass(frozen=True, slots=True)
class AliasValue:
    """A type alias, or an expression that could be one.

    Attributes:
        path: The file that it is in.
        scope: The scope in which it is evaluated.
        parameters: Its type parameters.
        expression: Its value.
        is_lazy: True for a `type` statement, whose value is evaluated in its own module.
    """

    path: str
    scope: int
    parameters: tuple[str, ...]
    expression: Expression
    is_lazy: bool = False


@dataclass(frozen=True, slots=True)
class NewTypeValue:
    """`typing.NewType("Name", base)`."""

    path: str
    scope: int
    name: str
    base: Expression


@dataclass(frozen=True, slots=True)
class MadeClass:
    """A class that a call creates: `Enum("Color", "RED BLUE")`, `namedtuple("Point", "x y")`."""

    path: str
    name: str
    span: Span


@dataclass(frozen=True, slots=True)
class ItemsValue:
    """A tuple or list that is written out."""

    path: str
    scope: int
    items: tuple[Expression, ...]
    changes: str | None = None
    """Why its items may have changed since then."""


@dataclass(frozen=True, slots=True)
class ConstantValue:
    """A literal."""

    value: object


@dataclass(frozen=True, slots=True)
class TextValue:
    """A string with unknown content."""


@dataclass(frozen=True, slots=True)
class ParameterValue:
    """A parameter of a function."""

    path: str
    scope: int
    annotation: Expression | None


@dataclass(frozen=True, slots=True)
class TypeVariable:
    """A type parameter."""

    name: str


@dataclass(frozen=True, slots=True)
class Unknown:
    """An unknown value, and why it is unknown."""

    reason: str
    place: Place | None = field(default=None, compare=False)


type Value = (
    External
    | ModuleValue
    | FunctionValue
    | StepMaker
    | StepValue
    | FlowValue
    | ClassValue
    | AliasValue
    | NewTypeValue
    | MadeClass
    | ItemsValue
    | ConstantValue
    | TextValue
    | ParameterValue
    | TypeVariable
    | Unknown
)
