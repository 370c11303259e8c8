"""`Outcome`: how one item of a map ended, for steps that handle failures as data."""

from dataclasses import dataclass
from typing import Generic, Literal, final

from typing_extensions import TypeVar

# Declared covariant, because checkers infer invariance: on Python 3.13, a dataclass has a `__replace__`.
R = TypeVar("R", covariant=True)


@final
@dataclass(frozen=True, slots=True)
class Outcome(Generic[R]):  # noqa: UP046 - see above
    """How one item of a mapped step ended: with a value, or with the reason why there is none.

    Attributes:
        state: How it ended.
        value: What it returned; None unless it completed.
        reason: Why there is no value: the last exception, without its traceback, or the reason for which it was
            cancelled or skipped.

    Examples:
        >>> from baton_dsl import Each, Flow, Outcome, step
        >>> @step
        ... def regions() -> list[str]:
        ...     return ["eu", "us"]
        >>> @step
        ... def orders(regions: Each[str]) -> int:
        ...     return len(regions)
        >>> @step(ignore_discarded=True)
        ... def report(orders: list[Outcome[int]]) -> str:
        ...     return ", ".join(str(item.value) if item.ok else f"{item.state}: {item.reason}" for item in orders)
        >>> report([Outcome("completed", 2), Outcome("discarded", reason="timeout")])
        '2, discarded: timeout'
    """

    state: Literal["completed", "cancelled", "discarded", "skipped"]
    value: R | None = None
    reason: str | None = None

    @property
    def ok(self) -> bool:
        """True if the item completed, so that `value` is what it returned."""
        return self.state == "completed"
