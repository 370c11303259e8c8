"""Record the calls of an OpenAI client in a step."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from baton_dsl.context import StepContext
from baton_dsl.integrations.clients import recorded_client

if TYPE_CHECKING:
    from openai import AsyncOpenAI, OpenAI


def recorded[C: OpenAI | AsyncOpenAI](client: C, context: StepContext, *, snooze: bool = False) -> C:
    """Copy a client so that every call is recorded in a step: its usage and cost and, with `debug=True`, its content.

    This covers chat completions, responses and every other call that returns a usage, sync and async, with or without
    streaming. A stream is recorded when it ends or is closed; for chat completions, the usage is requested. You can
    name models by their full name, such as `openai:gpt-5`, or as OpenAI does.

    Args:
        client: Your client; it is not changed. It may be configured for another provider that uses OpenAI's format.
        context: The context of the step that calls.
        snooze: Whether a 429 response with `retry-after` ends the attempt. The step then runs again after that time,
            and the attempt is not counted. This turns off the client's own retries.

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
