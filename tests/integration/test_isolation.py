"""No attempt sees a context variable of another one: each starts in the context of its worker."""

from __future__ import annotations

import random
from typing import Any

import pytest

from baton_dsl import Flow
from tests.conftest import StartOban, until
from tests.integration.modules import context_steps as given

TIMEOUT = 60
FLOWS = 6


@pytest.fixture(autouse=True)
def seen() -> list[tuple[str, str]]:
    given.SEEN.clear()
    return given.SEEN


def random_flow(number: int, dice: random.Random) -> Flow[..., Any]:
    """Steps of all kinds, plain jobs among them, which wait for each other at random; and hooks."""
    flow: Flow[..., Any] = Flow(f"random {number}", on_settled=dice.choice([given.tell, given.tell_async]))
    names: list[str] = []
    for index in range(dice.randint(5, 20)):
        deps = dice.sample(names, k=min(len(names), dice.choice([0, 1, 1, 2, 3])))
        name = f"s{number}.{index}"
        if dice.random() < 0.1:
            flow.add(name, given.Plain.new({}), deps=deps)
        else:
            flow.add(name, dice.choice(given.KINDS), deps=deps)
        names.append(name)
    return flow


@pytest.mark.parametrize("claims", ["on", "off"])
@pytest.mark.parametrize("limit", [1, 7])
async def test_every_attempt_starts_in_the_context_of_the_worker(
    start_oban: StartOban, seen: list[tuple[str, str]], monkeypatch: pytest.MonkeyPatch, claims: str, limit: int
) -> None:
    monkeypatch.setenv("BATON_CLAIM", claims)
    given.TENANT.set("of the application")
    dice = random.Random(f"{claims} {limit}")
    async with start_oban(queues={"default": limit}):
        given.TENANT.set("of who inserts")
        workflows = [await random_flow(number, dice).insert() for number in range(FLOWS)]
        workflows.append(await Flow("map", given.numbers, given.squares).insert())
        for workflow in workflows:
            assert (await workflow.wait(TIMEOUT)).outcome == "completed"
        await until(lambda: sum("hook" in what for what, _ in seen) == FLOWS)
    assert len(seen) > 60
    assert {tenant for _, tenant in seen} == {"of the application"}


async def test_a_queue_that_a_step_has_started_runs_in_the_context_of_the_worker(
    start_oban: StartOban, seen: list[tuple[str, str]]
) -> None:
    given.TENANT.set("of the application")
    async with start_oban(queues={"default": 2}):
        flow = Flow("late").add("first", given.starts_a_queue).add("then", given.in_a_late_queue, deps=["first"])
        assert (await (await flow.insert()).wait(TIMEOUT)).outcome == "completed"
    assert seen == [("first", "of the application"), ("then", "of the application")]
