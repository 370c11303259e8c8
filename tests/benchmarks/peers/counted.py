"""The step of ours that does nothing; its worker is named by this module."""

from baton_dsl import step
from tests.benchmarks.peers.work import CALLS


@step
async def noop() -> None:
    """Count the call."""
    CALLS.add()
