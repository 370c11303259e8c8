"""Steps of several models that the tests run. Workers import steps by name."""

from __future__ import annotations

from collections import Counter
from typing import Any

from pydantic import BaseModel

from baton_dsl import Each, Flow, Input, Outcome, StepContext, step

RUNS: Counter[str] = Counter()
"""How often each model was called."""
BROKEN: set[str] = set()
"""The models that fail."""


class Verdict(BaseModel):
    model: str
    words: int


@step
def sources(text: Input[str]) -> list[str]:
    return text.split()


@step(models=("anthropic:a", "openai:b"), max_attempts=3, backoff=0)
async def assess(sources: list[str], context: StepContext, limit: Input[int] = 9) -> Verdict:
    assert context.model is not None
    RUNS[context.model] += 1
    if context.model in BROKEN:
        raise ConnectionError(f"{context.model} does not answer")
    return Verdict(model=context.model, words=min(len(sources), limit))


@step
def synthesis(assess: dict[str, Verdict], context: StepContext) -> list[str]:
    assert dict(context.upstream["assess"]) == assess
    return [f"{model}: {verdict.words}" for model, verdict in assess.items()]


brief = Flow("brief", sources, assess, synthesis)


@step(models=("anthropic:a", "openai:b"), min_success=1, max_attempts=1)
def vote(context: StepContext) -> bool:
    RUNS[context.model or ""] += 1
    if context.model in BROKEN:
        raise ConnectionError(f"{context.model} does not answer")
    return True


@step
def count(vote: dict[str, Outcome[bool]]) -> dict[str, str]:
    return {model: outcome.reason or outcome.state for model, outcome in vote.items()}


@step
def known(vote: dict[str, bool | None]) -> dict[str, Any]:
    return dict(vote)


@step(models="local:small")
def single(context: StepContext) -> str | None:
    return context.model


votes = Flow("votes", vote, count, known, single)


@step(models="local:small", max_attempts=1)
async def titled(sources: Each[str], context: StepContext) -> str:
    RUNS[context.model or ""] += 1
    if sources in BROKEN:
        raise ConnectionError(f"{sources} is lost")
    return f"{sources} by {context.model}"


@step(models="local:small", max_attempts=1)
async def judged(titled: list[str], context: StepContext) -> str:
    assert context.model is not None
    said = await context.once("say", say, context.model)
    context.record_usage({"input": 10, "output": 1}, model=context.model)
    if context.model in BROKEN:
        raise ConnectionError(f"{context.model} does not answer")
    return f"{said} of {len(titled)}"


async def say(model: str) -> str:
    RUNS[f"said by {model}"] += 1
    return model


titles = Flow("titles", sources, titled, judged)
