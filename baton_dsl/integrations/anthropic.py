"""Record the calls of an Anthropic client in a step."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from baton_dsl.context import StepContext
from baton_dsl.integrations.clients import recorded_client

if TYPE_CHECKING:
    from anthropic import Anthropic, AsyncAnthropic


def recorded[C: Anthropic | AsyncAnthropic](client: C, context: StepContext, *, snooze: bool = False) -> C:
    """Copy a client so that every call is recorded in a step: its usage and cost and, with `debug=True`, its content.

    This covers messages, sync and async, with or without streaming. A stream is recorded when it ends or is closed. You
    can name models by their full name, such as `anthropic:claude-sonnet-4-6`, or as Anthropic does.

    Args:
        client: Your client; it is not changed.
        context: The context of the step that calls.
        snooze: Whether a 429 or 529 response with `retry-after` ends the attempt. The step then runs again after that
            time, and the attempt is not counted. This turns off the client's own retries.

    Example:
        ```python
        @step
        async def summarize(text: str, context: StepContext) -> str:
            client = recorded(anthropic_client, context)
            message = await client.messages.create(
                model=context.model, max_tokens=500, messages=[{"role": "user", "content": text}]
            )
            return message.content[0].text
        ```
    """
    return cast("C", recorded_client(cast("Any", client), context, provider="anthropic", snooze=snooze))
