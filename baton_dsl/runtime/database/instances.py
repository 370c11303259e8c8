"""Find the Oban instances of this process, without importing Oban in processes that only insert."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Protocol

from baton_dsl.errors import ObanNotFoundError

if TYPE_CHECKING:
    from psycopg import AsyncConnection

    from baton_dsl.runtime.database.pools import Pool

CHANNEL: Final = "workflow"
"""The channel of notifications about ended workflows. Oban's notifier adds the prefix: `public.oban_workflow`. The
payload is `{"workflow_id": ..., "outcome": ...}`."""


class Notifier(Protocol):
    """The part of Oban's notifier that we use."""

    async def listen(self, channel: str, callback: Callable[[str, dict[str, Any]], Any], wait: bool = True) -> str:
        """Call the callback for every notification on a channel. Return a token."""

    async def unlisten(self, token: str) -> None:
        """Stop listening."""


@dataclass(frozen=True, slots=True)
class Instance:
    """The part of an Oban instance that inserts and handles use.

    Attributes:
        pool: Its connection pool.
        prefix: The schema of its tables.
        notifier: Its notifier.
        is_started: Whether it runs, so that its notifier listens.
    """

    pool: Pool
    prefix: str
    notifier: Notifier
    is_started: bool

    def autocommit(self) -> AbstractAsyncContextManager[AsyncConnection[Any]]:
        """A connection of the pool for one statement, which is a transaction."""
        # Imported here because it loads psycopg_pool, which a process that only inserts need not have installed.
        opened: AbstractAsyncContextManager[AsyncConnection[Any]]
        opened = importlib.import_module("baton_dsl.runtime.database.pools").autocommit(self.pool)
        return opened


def find(name: str) -> Instance | None:
    """The Oban instance of that name in this process; None if there is none.

    Only a process that has loaded oban can have an instance. So the bridge, which imports oban, is imported only then.
    """
    if "oban.oban" not in sys.modules:
        return None
    bridge = importlib.import_module("baton_dsl.runtime.oban.bridge")
    try:
        found: Instance = bridge.described(bridge.instance(name))
    except ObanNotFoundError:
        return None
    return found


def run_jobs() -> bool:
    """True if an Oban instance of this process has queues."""
    if "oban.oban" not in sys.modules:
        return False
    bridge = importlib.import_module("baton_dsl.runtime.oban.bridge")
    found: bool = bridge.runs_jobs()
    return found


def get(name: str) -> Instance:
    """The Oban instance of that name in this process.

    Raises:
        ObanNotFoundError: If there is none.
    """
    found = find(name)
    if found is None:
        raise ObanNotFoundError(f'no Oban instance "{name}" in this process')
    return found
