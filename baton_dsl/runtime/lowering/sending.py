"""Run an observer around each insert: traces, if the application has turned them on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Final

from baton_dsl.runtime.lowering.lower import Lowered

type Sending = Callable[[str, Sequence[Lowered]], AbstractContextManager[str | None]]
"""A context manager around an insert of workflows of a flow. It returns the `traceparent` to store with them."""

_NOBODY: Final = nullcontext(None)
_sending: Sending | None = None


def observed(flow: str, workflows: Sequence[Lowered]) -> AbstractContextManager[str | None]:
    """The context manager for an insert.

    Args:
        flow: The name of the flow.
        workflows: The workflows that are inserted.
    """
    return _NOBODY if _sending is None else _sending(flow, workflows)


def observe(sending: Sending | None) -> None:
    """Set the observer of the inserts of this process; None removes it."""
    global _sending
    _sending = sending
