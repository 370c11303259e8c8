"""Classify database errors: may a retry succeed, for this statement or for any?

psycopg's own classes don't tell: `OperationalError` is a lost connection, and also a list of more than a gigabyte.
So it is told by SQLSTATE. The table is `VERDICTS`; what is not in it, repeating can't cure.
"""

from __future__ import annotations

from enum import Enum
from types import MappingProxyType
from typing import Final

import psycopg
from psycopg_pool import PoolClosed


class Verdict(Enum):
    """What to make of an error."""

    OUTAGE = "outage"
    """The server or the connection is away: nobody gets an answer, and everybody may get one a moment later."""
    MOMENTARY = "momentary"
    """This statement got no answer, and may get one a moment later. Others may get theirs now."""
    FINAL = "final"
    """This statement gets no other answer, however often it is repeated."""


VERDICTS: Final = MappingProxyType(
    {
        "08": Verdict.OUTAGE,  # connections that fail or are refused
        "08P01": Verdict.FINAL,  # a protocol violation: what we send is wrong
        "25006": Verdict.OUTAGE,  # a standby, for a moment after a failover
        "25P03": Verdict.MOMENTARY,  # idle_in_transaction_session_timeout
        "25P04": Verdict.MOMENTARY,  # transaction_timeout
        "28": Verdict.OUTAGE,  # a password that is just changed
        "40": Verdict.MOMENTARY,  # serialization failures, deadlocks
        "40002": Verdict.FINAL,  # a constraint that is checked at the commit
        "53": Verdict.MOMENTARY,  # no memory, a full disk
        "53300": Verdict.OUTAGE,  # too many connections
        "53400": Verdict.FINAL,  # a limit of the configuration, such as temp_file_limit
        "55006": Verdict.MOMENTARY,  # an object in use
        "55P03": Verdict.MOMENTARY,  # a lock that is not to be had
        "57": Verdict.MOMENTARY,  # cancelled: by an operator, by statement_timeout
        "57P01": Verdict.OUTAGE,  # the server stops
        "57P02": Verdict.OUTAGE,  # it crashes
        "57P03": Verdict.OUTAGE,  # it starts
        "57P04": Verdict.FINAL,  # the database was dropped
        "57P05": Verdict.OUTAGE,  # idle_session_timeout
        "58": Verdict.MOMENTARY,  # an error of the file system
        "58P01": Verdict.FINAL,  # a file that is missing, that there is twice, or whose name is too long
        "58P02": Verdict.FINAL,
        "58P03": Verdict.FINAL,
    }
)
"""By SQLSTATE, or by the class of one, which is its first two characters."""


def verdict(error: BaseException) -> Verdict:
    """What an error says of the next try.

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
    # Without a state, libpq or the pool says it, not the server: there is no connection.
    return Verdict.OUTAGE if isinstance(error, psycopg.OperationalError | psycopg.InterfaceError) else Verdict.FINAL


def is_outage(error: BaseException) -> bool:
    """True if nobody gets an answer at the moment."""
    return verdict(error) is Verdict.OUTAGE


def may_pass(error: BaseException) -> bool:
    """True if the same statement may get an answer a moment later."""
    return verdict(error) is not Verdict.FINAL
