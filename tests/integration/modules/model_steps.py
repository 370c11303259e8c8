"""Steps that call a model, or pretend to."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from pydantic import BaseModel, SecretStr

from baton_dsl import Each, Input, StepContext, step
from baton_dsl.llm import Usage

CALLS: list[str] = []
"""What was really called."""


class Answer(BaseModel):
    text: str
    tokens: int


def chat(model: str, prompt: int, completion: int, cached: int = 0) -> dict[str, Any]:
    """A response of OpenAI as JSON."""
    return {
        "id": "c1",
        "object": "chat.completion",
        "model": model,
        "choices": [{"index": 0, "message": {"role": "assistant", "content": "hello"}}],
        "usage": {
            "prompt_tokens": prompt,
            "completion_tokens": completion,
            "prompt_tokens_details": {"cached_tokens": cached},
        },
    }


@step(max_attempts=3, backoff=0)
async def draft(context: StepContext) -> str:
    usage = context.record_usage(chat("gpt-4o-mini", 1_000_000, 100_000), latency=timedelta(seconds=2))
    assert usage.cost is not None
    context.capture(
        request={"api_key": SecretStr("s3cr3t"), "messages": [{"role": "user", "content": "hi"}]},
        response=chat("gpt-4o-mini", 1, 1),
    )
    if context.attempt == 1:
        raise RuntimeError("the network broke after the answer")
    return "draft"


@step
def check(draft: str, context: StepContext) -> str:
    context.record_usage(Usage(model="unheard-of", input=10, output=1))
    context.record_usage({"input": 5, "output": 5}, model="gpt-4o-mini")
    return draft


@step
def words(check: str) -> list[str]:
    return ["a", "b", "c"]


@step
async def translate(words: Each[str], context: StepContext) -> str:
    context.record_usage(chat("gpt-4o-mini", 1_000, 10))
    context.capture(request=words, response=words.upper(), error=ValueError("Bearer abcdefghijkl"))
    return words.upper()


async def ask(text: str) -> Answer:
    CALLS.append(text)
    return Answer(text=text.upper(), tokens=len(text))


def ask_sync(text: str) -> Answer:
    CALLS.append(text)
    return Answer(text=text.upper(), tokens=len(text))


@step(max_attempts=3, backoff=0)
async def twice(text: Input[str], context: StepContext) -> list[Answer]:
    first = await context.once("ask", ask, text)
    second = await context.once("ask", ask, first.text + "!")
    if context.attempt < 3:
        raise RuntimeError("not yet")
    return [first, second]


@step(max_attempts=3, backoff=0)
def twice_in_a_thread(text: Input[str], context: StepContext) -> list[Answer]:
    first = context.once("ask", ask_sync, text)
    second = context.once("ask", ask_sync, first.text + "!")
    if context.attempt < 3:
        raise RuntimeError("not yet")
    return [first, second]


@step
def plain() -> int:
    return 1


@step
def idle(context: StepContext) -> int:
    return context.attempt
