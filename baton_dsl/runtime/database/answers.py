"""Classify database errors: may a retry succeed, for this statement or for any?

psycopg's exception classes are not enough: `OperationalError` is raised for a lost connection, and also for a list of
more than a gigabyte. So the SQLSTATE decides, by the table `VERDICTS`. For any other state, repeating does not help.
"""

from __future__ import annotations

from enum import Enum
from types import MappingProxyType
from typing import Final

import psycopg
from psycopg_pool import PoolClosed


class Verdict(Enum):
    """Whether a retry can help after an error."""

    OUTAGE = "outage"
    """The server or the connection is gone: every statement fails for now, and may succeed later."""
    MOMENTARY = "momentary"
    """This statement failed, and may succeed later. Other statements may succeed now."""
    FINAL = "final"
    """This statement fails in the same way however often it is repeated."""


VERDICTS: Final = MappingProxyType(
    {
        "08": Verdict.OUTAGE,  # connections that fail or are rejected
        "08P01": Verdict.FINAL,  # a protocol violation: we have sent something wrong
        "25006": Verdict.OUTAGE,  # a standby, shortly after a failover
        "25P03": Verdict.MOMENTARY,  # idle_in_transaction_session_timeout
        "25P04": Verdict.MOMENTARY,  # transaction_timeout
        "28": Verdict.OUTAGE,  # a password that is being changed
        "40": Verdict.MOMENTARY,  # serialization failures, deadlocks
        "40002": Verdict.FINAL,  # a constraint that is checked at the commit
        "53": Verdict.MOMENTARY,  # no memory, a full disk
        "53300": Verdict.OUTAGE,  # too many connections
        "53400": Verdict.FINAL,  # a limit of the configuration, such as temp_file_limit
        "55006": Verdict.MOMENTARY,  # an object in use
        "55P03": Verdict.MOMENTARY,  # a lock that is not available
        "57": Verdict.MOMENTARY,  # cancelled: by an operator, by statement_timeout
        "57P01": Verdict.OUTAGE,  # the server stops
        "57P02": Verdict.OUTAGE,  # it crashes
        "57P03": Verdict.OUTAGE,  # it starts
        "57P04": Verdict.FINAL,  # the database was dropped
        "57P05": Verdict.OUTAGE,  # idle_session_timeout
        "58": Verdict.MOMENTARY,  # an error of the file system
        "58P01": Verdict.FINAL,  # a file that is missing or exists twice, or whose name is too long
        "58P02": Verdict.FINAL,
        "58P03": Verdict.FINAL,
    }
)
"""The verdicts by SQLSTATE, or by its class, which is its first two characters."""


def verdict(error: BaseException) -> Verdict:
    """Whether the statement may succeed if it is repeated.

    Examples:
        >>> verdict(psycopg.errors.ProgramLimitExceeded()), verdict(psycopg.errors.DeadlockDetected())
        (<Verdict.FINAL: 'final'>, <Verdict.MOMENTARY: 'momentary'>)
        >>> verdict(psycopg.OperationalError("the connection is lost")), verdict(ValueError())
        (<Verdict.OUTAGE: 'outage'>, <Verdict.FINAL: 'final'>)
    """
    if isinstance(error, PoolClosed):
        return Verdict.FINAL
    if isinstance(error, psycopg.Error) and error.sqlstate is not None:
        return VERDICTS.get(error.sqlstate) or VERDICTS.get(error.sqlstate[:2], Verdict.FINAL)
    # An error without a state comes from libpq or the pool, not from the server: there is no connection.
    return Verdict.OUTAGE if isinstance(error, psycopg.OperationalError | psycopg.InterfaceError) else Verdict.FINAL


def is_outage(error: BaseException) -> bool:
    """True if every statement fails at the moment."""
    return verdict(error) is Verdict.OUTAGE


def may_pass(error: BaseException) -> bool:
    """True if the same statement may succeed later."""
    return verdict(error) is not Verdict.FINAL
