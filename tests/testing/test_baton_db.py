"""The same API on a real PostgreSQL."""

from __future__ import annotations

from datetime import timedelta

import pytest

from baton_dsl import Flow
from baton_dsl.errors import ReplacementError
from baton_dsl.testing.database import BatonDatabase
from tests.testing import flows
from tests.testing.flows import Report, Token, billing, charge, fetch_token, orders, report, shop, summary

TOKEN = Token(value="t")


async def test_a_flow_runs_with_what_stands_in_for_its_steps_and_skips_backoffs(baton_db: BatonDatabase) -> None:
    replace = {fetch_token: TOKEN, charge: [ConnectionError("no route"), 12]}
    run = await baton_db.run(billing, api_key="x", replace=replace)
    assert run.outcome == "completed"
    assert run[report] == Report(total=12)
    assert run.attempts(charge) == 2
    assert timedelta(seconds=1) <= run.elapsed < timedelta(seconds=30)
    assert [call.arguments for call in run.calls(charge)] == [{"fetch_token": TOKEN}] * 2
    assert "completed" in run.why()
    assert "charge" in str(run)


def test_items_are_replaced_and_steps_with_connections_run(baton_db: BatonDatabase) -> None:
    run = baton_db.sync.run(shop, country="de", replace={orders: lambda region: len(region)})
    assert run[summary] == "8, 8"
    assert run.attempts(orders) == 2
    assert run[orders, 1] == 8
    writes = Flow("writes", flows.writes)
    assert baton_db.sync.run(writes)[flows.writes] == 1
    with pytest.raises(ReplacementError, match="takes a connection"):
        baton_db.sync.run(writes, replace={flows.writes: 2})


def test_steps_are_themselves_again_afterwards(baton_db: BatonDatabase) -> None:
    baton_db.sync.run(billing, api_key="x", replace={fetch_token: TOKEN})
    assert fetch_token.stand_in is not None
    baton_db.close()
    assert fetch_token.stand_in is None
    assert charge(TOKEN, amount=3) == 3
