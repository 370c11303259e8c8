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
"""Seconds after which the reason is printed again."""
CONNECT_TIMEOUT: Final = 10
"""Seconds for one try to connect, unless the connection string sets `connect_timeout`."""

_REFUSED: Final = re.compile(r"authentication failed|pg_hba\.conf|no password supplied|role \".*\" does not exist")
"""Errors of the server that waiting does not cure. If its messages are in another language, they do not match, and
the command waits."""

type Events = SimpleQueue[BaseException | int | None]
"""Events while it waits: the number of a signal, or the result of a try (None if it connected).

It is a `SimpleQueue` because a signal handler may put into that at any moment.
"""


def until_reachable(dsn: str) -> bool:
    """Wait until the database answers.

    Each try runs in a thread of its own, because a signal must end the waiting at once, and the lookup of a host name
    can't be interrupted.

    Returns:
        True if the database answered; False if SIGTERM or Ctrl-C came first.

    Raises:
        FailedError: If the server answers, but refuses the user.
    """
    events: Events = SimpleQueue()
    shown, moment = "", 0.0
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
            if reason != shown or time.monotonic() > moment + AGAIN:
                terminal.echo(f"The database can't be reached yet; waiting for it: {reason}", err=True)
                shown, moment = reason, time.monotonic()
            try:
                events.get(timeout=PAUSE)
            except Empty:
                continue
            return False


def _try(dsn: str, events: Events) -> None:
    timeout = conninfo_to_dict(dsn).get("connect_timeout") or CONNECT_TIMEOUT
    try:
        psycopg.connect(dsn, connect_timeout=timeout).close()
    except BaseException as error:  # noqa: BLE001 - the waiting thread raises it again
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
