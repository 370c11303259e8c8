"""Run agents of pydantic-ai inside a step, so that a later attempt does not repeat calls of models and tools.

This uses `pydantic_ai.durable_exec`, which pydantic-ai offers to engines like ours. Apart from calls of models and
tools, an agent's run is deterministic. Because the results of these calls are stored, a later attempt quickly gets to
the point at which the last one ended.
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
"""How many characters of an operation's name become part of the name of a checkpoint, which may have 255."""


@dataclass(slots=True)
class _Scope:
    """The attempt of a step in which agents run.

    Attributes:
        context: The context of the step.
        runs: How many runs each agent has started, by the agent's name.
    """

    context: StepContext
    runs: Counter[str] = field(default_factory=Counter)


_scope: ContextVar[_Scope | None] = ContextVar("baton_dsl.integrations.pydantic_ai", default=None)


@contextmanager
def in_step(context: StepContext) -> Iterator[None]:
    """Make the runs of agents with the capability `Durability` part of a step, while the context lasts.

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

    The result of a call is stored before the agent continues (see `StepContext.once`), and a later attempt of the step
    gets the stored result. The usage of each call of a model is recorded and, with `debug=True`, the request and the
    response. Outside of `in_step`, an agent runs as if it did not have this capability.

    An agent needs a `name`. If its model gives the same answers, it must make the same calls in the same order, so take
    the time or random numbers from a tool or from the step's inputs. If the process dies after a tool had its effect
    but before it returned, the tool is called again, as a step would be.

    Args:
        snooze: Whether a 429 response with `retry-after` ends the attempt. The step then runs again after that time,
            and the attempt is not counted.
        models: Further models that a run may use, by name. Not needed for models with a full name (`openai:gpt-5`).
        event_stream_handler: Called for the events of a run. In a later attempt, it is called only for new events.
        name: The name of the checkpoints; default: the agent's name.
    """

    engine_spec = DurabilityEngineSpec(
        engine_name="baton-dsl",
        durable_unit_noun="checkpoint",
        durable_container_noun="step",
        codec=JSON_CODEC,
        # Listing the tools costs less than a checkpoint, which is a transaction.
        journal_discovery=False,
        # The capability does not see toolsets that are passed to a run, so their calls would be repeated.
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
        """An id that is the same in every attempt: it counts the runs of the agent in the step."""
        scope = _scope.get()
        if scope is None:
            return None
        scope.runs[self.name] += 1
        return f"{scope.context.idempotency_key}:{self.name}:{scope.runs[self.name]}"

    def get_default_conversation_id(self, run_id: str) -> str | None:
        """An id that is the same in every attempt."""
        return conversation_id_from_run_id(run_id) if self.in_durable_context else None

    def get_durable_operation_backend(self) -> DurableOperationBackend[Any]:
        """The backend that makes the calls."""
        return _Checkpoints(agent_name=self.name, snooze=self.snooze)


class _Checkpoints(JournalCallableOperationBackend[str]):
    """Runs each call of a model or a tool once for all attempts of a step."""

    def __init__(self, *, agent_name: str, snooze: bool) -> None:
        config = RoleBasedOperationConfig(model="", event="", capability="", tool="")  # there are no choices
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
            return await body()  # an event costs nothing, so it needs no checkpoint
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
        """Call a model, and record the call."""
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
    """The name of a checkpoint: the operation and the run and, for a tool, the id of the call in the model's answer.

    Calls of tools run concurrently, so their order can't tell them apart.
    """
    run = next((part for part in cache_key if isinstance(part, RunContext)), None)
    facts = [operation] if run is None else [operation, run.run_id or "", run.tool_call_id or ""]
    digest = blake2b("\0".join(facts).encode(), digest_size=8).hexdigest()
    return f"{operation[:_LONGEST_NAME]}#{digest}"


def _retry_after(error: BaseException) -> timedelta | None:
    """How long a server asks to wait. The error of the client is the cause of pydantic-ai's own error."""
    cause: BaseException | None = error
    while cause is not None:
        if (delay := retry_after(cause)) is not None:
            return delay
        cause = cause.__cause__
    return None
