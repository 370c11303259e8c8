"""A claim never goes before a more urgent job, and only briefly before one that has waited longer.

Told by the order of starts. A step here lasts at least as long as it says: a busy machine lets fewer of them pass.
"""

from __future__ import annotations

from typing import Any

import pytest

from baton_dsl import Flow
from baton_dsl.runtime.executing.settle import LONGEST_STREAK
from tests.conftest import StartOban, until
from tests.integration.modules import fair_steps as given

TIMEOUT = 60


@pytest.fixture(autouse=True)
def starts() -> list[str]:
    given.STARTS.clear()
    return given.STARTS


def chain(step: Any, length: int, seconds: float) -> Flow[..., Any]:
    flow: Flow[..., Any] = Flow("chain")
    for number in range(length):
        deps = [f"link {number - 1}"] if number else []
        flow.add(f"link {number}", step.bind(seconds=seconds), deps=deps)
    return flow


@pytest.mark.parametrize("seconds", [0.005, 0.02, 0.15])
async def test_a_claim_never_passes_over_a_higher_priority(
    start_oban: StartOban, starts: list[str], seconds: float
) -> None:
    async with start_oban(queues={"default": 1}):
        workflow = await chain(given.low, 12, seconds).insert()
        await until(lambda: bool(starts))
        other = await Flow("other", given.urgent).insert()
        before = len(starts)
        await other.wait(TIMEOUT)
        await workflow.wait(TIMEOUT)
    # The link that runs when it comes may end, and have claimed the next one in that moment.
    assert starts.index("urgent") <= before + 1


@pytest.mark.parametrize("seconds", [0.03, 0.15])
async def test_a_claim_passes_over_what_waits_for_longer_only_for_a_moment(
    start_oban: StartOban, starts: list[str], seconds: float
) -> None:
    async with start_oban(queues={"default": 1}):
        workflow = await chain(given.link, 15, seconds).insert()
        await until(lambda: bool(starts))
        before = len(starts)
        others = [await Flow("other", given.urgent).insert() for _ in range(3)]
        for other in others:
            await other.wait(TIMEOUT)
        await workflow.wait(TIMEOUT)
    first, *_, last = (number for number, name in enumerate(starts) if name == "urgent")
    links = int(LONGEST_STREAK / seconds) + 1
    assert first <= before + links
    assert last <= before + links + 2  # those that waited too come one after the other


async def test_what_waits_in_another_queue_holds_up_no_claim(start_oban: StartOban, starts: list[str]) -> None:
    async with start_oban(queues={"default": 1}):
        elsewhere = await Flow("elsewhere", given.elsewhere).insert()
        workflow = await chain(given.link, 40, 0.005).insert()
        assert (await workflow.wait(TIMEOUT)).outcome == "completed"
        assert (await elsewhere.status()).counts == {"available": 1}
    assert starts == [f"link {number}" for number in range(40)]
