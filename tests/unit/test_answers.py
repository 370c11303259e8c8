"""For each error of the database, whether a repetition may help: the whole table of SQLSTATEs."""

import psycopg
import pytest
from psycopg_pool import PoolClosed, PoolTimeout, TooManyRequests

from baton_dsl.runtime.database.answers import VERDICTS, Verdict, verdict

OUTAGE = """
    08000 08001 08003 08004 08006 08007 25006 28000 28P01 53300 57P01 57P02 57P03 57P05
"""
MOMENTARY = """
    25P03 25P04 40000 40001 40003 40P01 53000 53100 53200 55006 55P03 57000 57014 58000 58030
"""
STATES = sorted(
    error.sqlstate for error in vars(psycopg.errors).values() if isinstance(getattr(error, "sqlstate", None), str)
)


@pytest.mark.parametrize("state", STATES)
def test_each_state_that_psycopg_knows_has_its_verdict(state: str) -> None:
    """What is not listed, repeating can't cure: 54000 is a list of more than a gigabyte, 42P01 a missing table."""
    error = psycopg.errors.lookup(state)()
    if state in OUTAGE.split():
        assert verdict(error) is Verdict.OUTAGE
    elif state in MOMENTARY.split():
        assert verdict(error) is Verdict.MOMENTARY
    else:
        assert verdict(error) is Verdict.FINAL


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (psycopg.OperationalError("the connection is lost"), Verdict.OUTAGE),
        (psycopg.InterfaceError("the connection is closed"), Verdict.OUTAGE),
        (PoolTimeout("no connection after 30 s"), Verdict.OUTAGE),
        (TooManyRequests("the queue of the pool is full"), Verdict.OUTAGE),
        (PoolClosed("the pool is closed"), Verdict.FINAL),
        (psycopg.DataError("cannot dump"), Verdict.FINAL),
        (psycopg.ProgrammingError("cannot adapt"), Verdict.FINAL),
        (ValueError("not of the database"), Verdict.FINAL),
    ],
    ids=repr,
)
def test_an_error_without_a_state_is_of_the_connection_or_of_our_side(error: Exception, said: Verdict) -> None:
    assert verdict(error) is said


def test_the_table_has_no_state_that_psycopg_does_not_know() -> None:
    classes = {state[:2] for state in STATES}
    for state in VERDICTS:
        assert state in classes if len(state) == 2 else psycopg.errors.lookup(state)
