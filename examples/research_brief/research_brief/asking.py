"""Ask a model of OpenAI or Anthropic one question, with a client that records its calls."""

import os
import re
from functools import cache

from anthropic import AsyncAnthropic
from openai import AsyncOpenAI
from pydantic import BaseModel

from baton_dsl import StepContext
from baton_dsl.integrations import anthropic, openai
from research_brief import local_models

MOST_TOKENS = 800


@cache
def _openai() -> AsyncOpenAI:
    """A client with the key from the environment; without a key, a client of the local server."""
    if os.environ.get("OPENAI_API_KEY"):
        return AsyncOpenAI()
    return AsyncOpenAI(base_url=f"{local_models.url()}/v1", api_key="none")


@cache
def _anthropic() -> AsyncAnthropic:
    if os.environ.get("ANTHROPIC_API_KEY"):
        return AsyncAnthropic()
    return AsyncAnthropic(base_url=local_models.url(), api_key="none")


async def ask[M: BaseModel](context: StepContext, task: str, text: str, answer: type[M]) -> M:
    """Ask the model of a step, and parse its answer.

    Args:
        context: The step's: it names the model, and records what the call used.
        task: What to do.
        text: With what.
        answer: What to answer with; the model is told its JSON schema.
    """
    model = context.model or ""
    system = f"{task} Answer with nothing but JSON of this schema: {answer.model_json_schema()}"
    if model.startswith("anthropic:"):
        client = anthropic.recorded(_anthropic(), context, snooze=True)
        message = await client.messages.create(
            model=model, max_tokens=MOST_TOKENS, system=system, messages=[{"role": "user", "content": text}]
        )
        said = "".join(block.text for block in message.content if block.type == "text")
    else:
        chat = await openai.recorded(_openai(), context, snooze=True).chat.completions.create(
            model=model,
            max_completion_tokens=MOST_TOKENS,
            messages=[{"role": "system", "content": system}, {"role": "user", "content": text}],
        )
        said = chat.choices[0].message.content or ""
    found = re.search(r"\{.*\}", said, re.DOTALL)  # some put it into a block of code
    return answer.model_validate_json(found[0] if found else said)
