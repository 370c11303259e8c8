"""Steps that run agents, and a record of the calls that they really made."""

from __future__ import annotations

import asyncio
import os
import signal
from collections import Counter
from pathlib import Path

from openai import AsyncOpenAI
from pydantic import BaseModel
from pydantic_ai import Agent, RunContext
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.providers.openai import OpenAIProvider

from baton_dsl import Flow, Input, StepContext, step
from baton_dsl.integrations.pydantic_ai import Durability, in_step

CALLS: Counter[str] = Counter()
"""How often each tool was called, by its argument."""
FAILING: dict[str, int] = {}
"""How often each place is to fail."""


class Weather(BaseModel):
    city: str
    degrees: int


def may_fail(place: str) -> None:
    if FAILING.get(place, 0) > 0:
        FAILING[place] -= 1
        raise ConnectionError(f"died {place}")


def agent_at(url: str, *, snooze: bool = False) -> Agent[None, str]:
    """An agent whose model is at a URL."""
    client = AsyncOpenAI(base_url=url, api_key="sk-test", max_retries=0)
    model = OpenAIChatModel("gpt-4o-mini", provider=OpenAIProvider(openai_client=client))
    agent = Agent(model, name="forecaster", capabilities=[Durability(snooze=snooze)])

    @agent.tool
    async def weather(ctx: RunContext[None], city: str) -> Weather:
        CALLS[city] += 1
        await asyncio.sleep(0.02 if city == "Rome" else 0)  # so the later call ends first
        may_fail(f"in {city}")
        return Weather(city=city, degrees=len(city))

    return agent


@step(max_attempts=9, backoff=0)
async def forecast(url: Input[str], context: StepContext) -> str:
    with in_step(context):
        may_fail("before")
        result = await agent_at(url).run("Where is it warmer?")
        may_fail("after")
    return result.output


@step(max_attempts=3, backoff=0)
async def streamed(url: Input[str], context: StepContext) -> list[str]:
    with in_step(context):
        async with agent_at(url).run_stream("Where is it warmer?") as result:
            said = [text async for text in result.stream_text()]
    may_fail("after")
    return said[-1:]


@step(max_attempts=3, backoff=0)
async def twice(url: Input[str], context: StepContext) -> list[str]:
    agent = agent_at(url)
    with in_step(context):
        first, second = await asyncio.gather(agent.run("Where is it warmer?"), agent.run("And now?"))
    may_fail("after")
    return [first.output, second.output]


@step(max_attempts=2, backoff=0)
async def patient(url: Input[str], context: StepContext) -> str:
    with in_step(context):
        result = await agent_at(url, snooze=True).run("Where is it warmer?")
    return result.output


def die_once(folder: Path, place: str) -> None:
    """Kill this process when it first reaches a point."""
    mark = folder / "died"
    if place == (folder / "place").read_text() and not mark.exists():
        mark.touch()
        os.kill(os.getpid(), signal.SIGKILL)


@step(max_attempts=3)
async def killed(url: Input[str], folder: Input[Path], context: StepContext) -> str:
    agent = agent_at(url)

    @agent.tool_plain
    def note(text: str) -> str:
        with (folder / "notes").open("a") as notes:
            notes.write(f"{text}\n")
        die_once(folder, text)
        return f"noted {text}"

    with in_step(context):
        result = await agent.run("Take notes")
    die_once(folder, "after")
    return result.output


forecasting = Flow("forecasting", forecast)
