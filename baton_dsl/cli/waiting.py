"""Wait for a database that is not reachable yet, for example when everything starts at the same time."""

from __future__ import annotations

import re
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from queue import Empty, SimpleQueue
from typing import Final

import psycopg
from psycopg.conninfo import conninfo_to_dict

from baton_dsl.cli import terminal
from baton_dsl.cli.exits import FailedError

PAUSE: Final = 1.0
"""Seconds between two tries to connect."""
AGAIN: Final = 30.0
"""Seconds after which it is told again why the database can't be reached."""
CONNECT_TIMEOUT: Final = 10
"""Seconds for one try to connect, unless the connection string says another number."""

_REFUSED: Final = re.compile(r"authentication failed|pg_hba\.conf|no password supplied|role \".*\" does not exist")
"""What a server says that will say the same in a minute. Its language may be another one: then it is waited for."""

type Events = SimpleQueue[BaseException | int | None]
"""What happens while it waits: the number of a signal, or how a try ended, None for a good end.

A `SimpleQueue`, since a signal's handler may put into it at any moment.
"""


def until_reachable(dsn: str) -> bool:
    """Wait until the database answers.

    Each try runs in a thread of its own: nothing interrupts the look-up of a host's name, and a signal has to end the
    waiting at once.

    Returns:
        True; False if SIGTERM or Ctrl-C came first.

    Raises:
        FailedError: If the server is there, and refuses its user.
    """
    events: Events = SimpleQueue()
    told, moment = "", 0.0
    with _signals_into(events):
        while True:
            threading.Thread(target=_try, args=(dsn, events), name="baton-reach", daemon=True).start()
            match events.get():
                case None:
                    return True
                case psycopg.OperationalError() as error if not _REFUSED.search(str(error)):
                    reason = " ".join(str(error).split())
                case psycopg.OperationalError() as error:
                    raise FailedError(f"the database can't be reached: {' '.join(str(error).split())}")
                case BaseException() as error:
                    raise error
                case _:
                    return False
            if reason != told or time.monotonic() > moment + AGAIN:
                terminal.echo(f"The database can't be reached yet; waiting for it: {reason}", err=True)
                told, moment = reason, time.monotonic()
            try:
                events.get(timeout=PAUSE)
            except Empty:
                continue
            return False


def _try(dsn: str, events: Events) -> None:
    timeout = conninfo_to_dict(dsn).get("connect_timeout") or CONNECT_TIMEOUT
    try:
        psycopg.connect(dsn, connect_timeout=timeout).close()
    except BaseException as error:  # noqa: BLE001 - raised again by who waits
        events.put(error)
    else:
        events.put(None)


@contextmanager
def _signals_into(events: Events) -> Iterator[None]:
    before = {
        number: signal.signal(number, lambda number, _frame: events.put(number))
        for number in (signal.SIGTERM, signal.SIGINT)
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
