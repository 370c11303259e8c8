"""A client of Anthropic whose calls are recorded in a step."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from baton_dsl.context import StepContext
from baton_dsl.integrations.clients import recorded_client

if TYPE_CHECKING:
    from anthropic import Anthropic, AsyncAnthropic


def recorded[C: Anthropic | AsyncAnthropic](client: C, context: StepContext, *, snooze: bool = False) -> C:
    """The same client, with every call recorded in a step: what it used and cost; under debug what it saw and said.

    Messages, sync or async, at once or as a stream. Of a stream it is recorded at its end, or when it is closed. The
    full name of a model, `anthropic:claude-sonnet-4-6`, does as well as the one that Anthropic knows.

    Args:
        client: Yours; it is not changed.
        context: The context of the step that calls.
        snooze: Whether a 429, or a 529, with `retry-after` ends the attempt and lets the step run again then, without
            counting it. The client's own retries are off then.

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
