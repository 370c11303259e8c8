"""A client of OpenAI whose calls are recorded in a step."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from baton_dsl.context import StepContext
from baton_dsl.integrations.clients import recorded_client

if TYPE_CHECKING:
    from openai import AsyncOpenAI, OpenAI


def recorded[C: OpenAI | AsyncOpenAI](client: C, context: StepContext, *, snooze: bool = False) -> C:
    """The same client, with every call recorded in a step: what it used and cost; under debug what it saw and said.

    Chat completions, responses and everything else that tells a usage, sync or async, at once or as a stream. Of a
    stream it is recorded at its end, or when it is closed; chat completions are asked to tell their usage. The full
    name of a model, `openai:gpt-5`, does as well as the one that OpenAI knows.

    Args:
        client: Yours; it is not changed. A client of another provider that speaks OpenAI's format does as well.
        context: The context of the step that calls.
        snooze: Whether a 429 with `retry-after` ends the attempt and lets the step run again then, without counting it.
            The client's own retries are off then.

    Example:
        ```python
        @step
        async def summarize(text: str, context: StepContext) -> str:
            client = recorded(openai_client, context, snooze=True)
            response = await client.responses.create(model=context.model, input=text)
            return response.output_text
        ```
    """
    return cast("C", recorded_client(cast("Any", client), context, provider="openai", snooze=snooze))
