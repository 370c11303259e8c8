"""Explorations: every order, every crash, and the shortest schedule that breaks a flow."""

from __future__ import annotations

import re
import time

import pytest

from baton_dsl import Flow
from baton_dsl.errors import ExplorationError
from baton_dsl.testing import Baton, Run
from tests.testing import flows


def booked(run: Run) -> None:
    assert flows.balance == [13], flows.balance


def charged_once(_: Run) -> bool:
    return flows.charges == [12]


async def test_a_double_charge_is_found_with_its_story_and_can_be_replayed(baton: Baton) -> None:
    began = time.process_time()
    with pytest.raises(ExplorationError) as raised:
        await baton.explore(flows.careless, amount=12, before=flows.forget, check=charged_once)
    assert time.process_time() - began < 2
    told = str(raised.value)
    assert 'the process of "charge" dies: its function has ended, and nothing is stored' in told
    assert '"charge" starts again, attempt 2' in told
    assert '"charge" ran 2 times' in told
    replay = re.search(r'replay="([\d.]+)"', told)
    assert replay
    with pytest.raises(ExplorationError, match="ran 2 times"):
        await baton.explore(flows.careless, amount=12, before=flows.forget, check=charged_once, replay=replay[1])
    await baton.explore(flows.careless, amount=12, before=flows.forget, check=charged_once, replay="0")


async def test_a_lost_update_is_found_without_a_crash(baton: Baton) -> None:
    began = time.process_time()
    with pytest.raises(ExplorationError, match="the check raised AssertionError") as raised:
        await baton.explore(flows.careless, amount=12, before=flows.forget, check=booked, crashes=0)
    assert time.process_time() - began < 2
    assert '"book_fees" starts' in str(raised.value)


async def test_a_flow_that_is_right_is_seen_whole(baton: Baton) -> None:
    flow = Flow("careful", flows.price, flows.charge_once.named("charge"))
    seen = await baton.explore(flow, amount=12, before=flows.forget, check=charged_once, crashes=2)
    assert seen.is_complete
    assert seen.runs == 6  # crashes of the two steps: 0+0, 1+0, 0+1, 2+0, 1+1, 0+2


def test_results_that_depend_on_the_order_are_told_without_a_check(baton: Baton) -> None:
    flow = Flow("orders", flows.price, flows.charge_twice.named("charge"), flows.book, flows.book_fees, flows.close)
    counted: list[int] = []

    def count() -> int:
        counted.append(1)
        return len(counted)

    with pytest.raises(ExplorationError, match="in the first run"):
        baton.sync.explore(
            flow, amount=12, before=counted.clear, replace={flows.book: count, flows.book_fees: count}, crashes=0
        )


async def test_an_exploration_that_did_not_see_all_says_so(baton: Baton) -> None:
    seen = await baton.explore(flows.careless, amount=12, crashes=0, max_runs=2)
    assert (seen.runs, seen.is_complete) == (2, False)
    assert "not all" in str(seen)


async def test_items_of_a_map_start_in_one_order_and_die_each(baton: Baton) -> None:
    seen = await baton.explore(flows.shop, country="de", crashes=0)
    assert seen.is_complete
    assert seen.runs <= 4
    with pytest.raises(ExplorationError, match="discarded"):
        await baton.explore(flows.shop, country="de", crashes=2)  # orders has two attempts
