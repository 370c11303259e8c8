"""What looks at an insert from around it: nothing, or traces where an application has turned them on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Final

from baton_dsl.runtime.lowering.lower import Lowered

type Sending = Callable[[str, Sequence[Lowered]], AbstractContextManager[str | None]]
"""What is around an insert of workflows of a flow; it gives the `traceparent` that is stored with them."""

_NOBODY: Final = nullcontext(None)
_sending: Sending | None = None


def told(flow: str, workflows: Sequence[Lowered]) -> AbstractContextManager[str | None]:
    """What is around an insert.

    Args:
        flow: The name of the flow.
        workflows: What is inserted.
    """
    return _NOBODY if _sending is None else _sending(flow, workflows)


def observe(sending: Sending | None) -> None:
    """Have something around each insert of this process from now on; None takes it away."""
    global _sending
    _sending = sending
