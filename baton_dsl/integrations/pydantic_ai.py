"""Agents of pydantic-ai inside a step: a call of a model or a tool that was made is not made again by a later attempt.

It stands on `pydantic_ai.durable_exec`, which pydantic-ai offers to engines like ours: an agent's run is deterministic
but for the calls of models and tools, so with their results stored a later attempt comes to where the last one ended.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import timedelta
from hashlib import blake2b
from typing import Any, Final, cast

from baton_dsl.context import StepContext
from baton_dsl.extras import needed
from baton_dsl.integrations.clients import retry_after

with needed():
    from pydantic_ai import RunContext
    from pydantic_ai.agent import EventStreamHandler
    from pydantic_ai.durable_exec import (
        JSON_CODEC,
        BaseDurabilityCapability,
        DurabilityEngineSpec,
        DurableOperationBackend,
        DurableOperationId,
        EventStreamHandlerId,
        JournalCallableOperationBackend,
        ModelRequestId,
        RoleBasedOperationConfig,
        conversation_id_from_run_id,
    )
    from pydantic_ai.models import Model

_LONGEST_NAME: Final = 200
"""Characters of an operation's name that are kept in that of a checkpoint, which has room for 255."""


@dataclass(slots=True)
class _Scope:
    """The step that agents run in: one attempt.

    Attributes:
        context: The step's.
        runs: How many runs each agent has begun, by its name.
    """

    context: StepContext
    runs: Counter[str] = field(default_factory=Counter)


_scope: ContextVar[_Scope | None] = ContextVar("baton_dsl.integrations.pydantic_ai", default=None)


@contextmanager
def in_step(context: StepContext) -> Iterator[None]:
    """Within this, the runs of agents that have the capability `Durability` belong to a step.

    Args:
        context: The context of an async step.

    Example:
        ```python
        researcher = Agent("openai:gpt-5-mini", name="researcher", capabilities=[Durability()])

        @step
        async def research(topic: Input[str], context: StepContext) -> str:
            with in_step(context):
                result = await researcher.run(topic, model=context.model)
            return result.output
        ```
    """
    token = _scope.set(_Scope(context))
    try:
        yield
    finally:
        _scope.reset(token)


class Durability(BaseDurabilityCapability[Any]):
    """A capability of an agent: its calls of models and tools are checkpoints of the step that it runs in.

    What a call returned is stored before the agent goes on, see `StepContext.once`. A later attempt of the step is
    given it back. The usage of each call of a model is recorded, and under debug what was sent and what came back.
    Outside of `in_step` an agent runs as if it had no such capability.

    An agent needs a `name`, and must make the same calls in the same order when its model answers the same: what it
    takes from elsewhere (the time, a random number) should come from a tool or from the step's inputs. A tool that had
    an effect and died before it returned is called again, as a step is.

    Args:
        snooze: Whether a 429 with `retry-after` ends the attempt and lets the step run again then, without counting it.
        models: More models that a run may name, by those names. The full name of a model (`openai:gpt-5`) needs none.
        event_stream_handler: What is told of the events of a run; a later attempt tells it only what happens then.
        name: A name for the checkpoints; default: the agent's.
    """

    engine_spec = DurabilityEngineSpec(
        engine_name="baton-dsl",
        durable_unit_noun="checkpoint",
        durable_container_noun="step",
        codec=JSON_CODEC,
        # Which tools there are costs nothing to find out, and a checkpoint is a transaction.
        journal_discovery=False,
        # What comes with a run is not known to the capability, so its calls would be made again.
        unsupported_runtime_toolset_kinds=frozenset({"function", "mcp", "dynamic"}),
    )

    def __init__(
        self,
        *,
        snooze: bool = False,
        models: Mapping[str, Model] | None = None,
        event_stream_handler: EventStreamHandler[Any] | None = None,
        name: str | None = None,
    ) -> None:
        super().__init__(models=models, event_stream_handler=event_stream_handler, name=name)
        self.snooze = snooze

    @property
    def in_durable_context(self) -> bool:
        """True within `in_step`."""
        return _scope.get() is not None

    def get_default_run_id(self) -> str | None:
        """The same for the same run in every attempt: the first of its agent in the step, the second, ..."""
        scope = _scope.get()
        if scope is None:
            return None
        scope.runs[self.name] += 1
        return f"{scope.context.idempotency_key}:{self.name}:{scope.runs[self.name]}"

    def get_default_conversation_id(self, run_id: str) -> str | None:
        """The same in every attempt."""
        return conversation_id_from_run_id(run_id) if self.in_durable_context else None

    def get_durable_operation_backend(self) -> DurableOperationBackend[Any]:
        """What runs the calls."""
        return _Checkpoints(agent_name=self.name, snooze=self.snooze)


class _Checkpoints(JournalCallableOperationBackend[str]):
    """Runs each call of a model or a tool once for all attempts of a step."""

    def __init__(self, *, agent_name: str, snooze: bool) -> None:
        config = RoleBasedOperationConfig(model="", event="", capability="", tool="")  # there is nothing to choose
        super().__init__(agent_name=agent_name, config=config)
        self._snooze = snooze

    async def execute(
        self,
        *,
        operation_id: DurableOperationId,
        name: str,
        body: Callable[[], Awaitable[object]],
        cache_key: tuple[object, ...],
        config: str,
    ) -> object:
        """See `CallableOperationBackend.execute`; the arguments are pydantic-ai's."""
        scope = _scope.get()
        if scope is None or isinstance(operation_id, EventStreamHandlerId):
            return await body()  # an event is told, and nobody pays for that
        context = scope.context

        async def call() -> Any:
            if isinstance(operation_id, ModelRequestId):
                return await self._ask(context, operation_id, body, cache_key)
            return await body()

        return await context.once(_name(name, cache_key), call)

    async def _ask(
        self,
        context: StepContext,
        operation_id: ModelRequestId,
        body: Callable[[], Awaitable[object]],
        cache_key: tuple[object, ...],
    ) -> object:
        """Call a model, and record that."""
        _, messages, settings, parameters, *_ = cache_key
        request = {"messages": messages, "settings": settings, "parameters": parameters}
        began = time.monotonic()
        try:
            payload = await body()
        except Exception as error:
            context.capture(request=request, error=error, model=operation_id.model_id or operation_id.model_name)
            if self._snooze and (delay := _retry_after(error)) is not None:
                context.snooze(delay)
            raise
        latency = timedelta(seconds=time.monotonic() - began)
        response = cast("Mapping[str, Any]", payload)  # a `ModelResponse` as JSON, whether it came as a stream or not
        model, provider = response.get("model_name"), response.get("provider_name")
        context.record_usage({"usage": response["usage"]}, model=model, provider=provider, latency=latency)
        context.capture(request=request, response=payload, model=model)
        return payload


def _name(operation: str, cache_key: tuple[object, ...]) -> str:
    """The name of a checkpoint: what is called, in which run; of a tool, by which call of the model's.

    Calls of tools run side by side, so they are told apart by the ids that the stored answer of the model gave them.
    """
    run = next((part for part in cache_key if isinstance(part, RunContext)), None)
    facts = [operation] if run is None else [operation, run.run_id or "", run.tool_call_id or ""]
    digest = blake2b("\0".join(facts).encode(), digest_size=8).hexdigest()
    return f"{operation[:_LONGEST_NAME]}#{digest}"


def _retry_after(error: BaseException) -> timedelta | None:
    """When a server wants to be asked again; pydantic-ai raises its own error because of the client's."""
    cause: BaseException | None = error
    while cause is not None:
        if (delay := retry_after(cause)) is not None:
            return delay
        cause = cause.__cause__
    return None
