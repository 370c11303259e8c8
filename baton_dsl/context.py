"""`StepContext`: what a step can know and do about its current attempt. Injected by type."""

from __future__ import annotations

import logging
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from math import ceil
from typing import TYPE_CHECKING, Any, Never, Protocol, final, overload

if TYPE_CHECKING:
    from oban import Job

    from baton_dsl.llm.usage import Usage


@final
@dataclass(frozen=True, slots=True)
class Skip:
    """Return it from a step that has nothing to do: a branch that is not taken.

    Downstream steps are skipped too, unless their parameter accepts None. Steps that only wait (`after`, `deps`) are
    not skipped.

    Attributes:
        reason: Why it was skipped; stored with the node.

    Examples:
        >>> from baton_dsl import Flow, Skip, step
        >>> @step
        ... def fetch_discount() -> float | Skip:
        ...     return Skip("no discount this month")
        >>> @step
        ... def price(fetch_discount: float | None) -> float:
        ...     return 12.5 * (1 - (fetch_discount or 0))
        >>> Flow("shop", fetch_discount, price).validate()
        ['fetch_discount', 'price']
    """

    reason: str = ""


class StepEnded(BaseException):
    """Carries `StepContext.cancel`, `snooze` and `skip` to the worker, past every `except Exception`.

    Attributes:
        reason: Why the step is cancelled; None for a snooze and a skip.
        seconds: After how long it runs again; None for a cancellation and a skip.
        skip: What the step would have returned; None for a cancellation and a snooze.
    """

    def __init__(self, *, reason: str | None = None, seconds: int | None = None, skip: Skip | None = None) -> None:
        said = skip.reason if skip is not None else reason
        super().__init__(said if said is not None else f"snoozed for {seconds} s")
        self.reason = reason
        self.seconds = seconds
        self.skip = skip


class Journal(Protocol):
    """Where a context records usage, captures and checkpoints. The worker's journal writes to the database."""

    def record_usage(
        self,
        response: object,
        *,
        model: str | None,
        provider: str | None,
        tier: str | None,
        latency: timedelta | None,
    ) -> Usage:
        """Record a call of a model."""

    def capture(self, request: object, response: object, error: BaseException | str | None, model: str | None) -> None:
        """Record an exchange with a model."""

    def once(self, name: str, function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Call a function, unless an earlier attempt has called it."""


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class StepContext:
    """What a step can know and do about its current attempt. Annotate a parameter with it to receive it.

    Attributes:
        workflow_id: The workflow that this step belongs to.
        workflow_name: The label of the workflow, if it has one.
        step: The name of the step in its flow.
        index: Which item of a map this is, a number for each level: `(3,)`; None for a step that is not mapped.
        attempt: The number of this attempt, from 1.
        max_attempts: How many attempts the step has before it is discarded.
        model: The name of the model chosen for this step with `models=`, or None. A step of several models runs once
            for each; `index` is then its place among them.
        debug: Whether the workflow was inserted with `debug=True`.
        upstream: The results of all upstreams by name, decoded when they are read; None for an ignored upstream without
            a result.
        job: Oban's job.
        logger: A logger that adds `workflow_id`, `step` and `attempt` to each record.

    Examples:
        >>> from baton_dsl import StepContext, step
        >>> @step
        ... def montage(context: StepContext) -> int:
        ...     context.logger.info("joining %d tiles", len(context.upstream))
        ...     return len(context.upstream)
    """

    workflow_id: str
    workflow_name: str | None
    step: str
    index: tuple[int, ...] | None = None
    attempt: int
    max_attempts: int
    model: str | None
    debug: bool
    upstream: Mapping[str, Any]
    job: Job
    logger: logging.LoggerAdapter[logging.Logger]
    cancel_requested: Callable[[], bool]
    journal: Journal = field(repr=False)

    @property
    def idempotency_key(self) -> str:
        """A key that only the attempts of this step (and item) share. Pass it to other services."""
        item = "" if self.index is None else f"[{','.join(map(str, self.index))}]"
        return f"{self.workflow_id}:{self.step}{item}"

    def cancelled(self) -> bool:
        """True once somebody has asked to cancel this job: stop at the next safe point and return `oban.Cancel`."""
        return self.cancel_requested()

    def cancel(self, reason: str) -> Never:
        """End this step as cancelled, at once and without another attempt.

        The same as returning `oban.Cancel`, for a step whose return annotation says what it returns.

        Args:
            reason: Why; stored with the job.
        """
        raise StepEnded(reason=reason)

    def snooze(self, delay: float | timedelta) -> Never:
        """End this attempt, and run the step again later without counting it.

        The same as returning `oban.Snooze`, for a step whose return annotation says what it returns.

        Args:
            delay: Seconds, rounded up to whole ones, or a timedelta.
        """
        seconds = delay.total_seconds() if isinstance(delay, timedelta) else delay
        raise StepEnded(seconds=ceil(seconds))

    def skip(self, reason: str = "") -> Never:
        """End this step as skipped, at once: a branch that is not taken.

        The same as returning `Skip`, but it works from any function that the step calls.

        Args:
            reason: Why; stored with the node.
        """
        raise StepEnded(skip=Skip(reason))

    def record_usage(
        self,
        response: object,
        *,
        model: str | None = None,
        provider: str | None = None,
        tier: str | None = None,
        latency: timedelta | None = None,
    ) -> Usage:
        """Record what a call of a model used and cost: one row, which stays if this attempt fails.

        It is written at once, in the background and in a transaction of its own. If a response has numbers that make no
        sense, `Usage.remark` and the log say so, but nothing is raised, because the call was paid for.

        Args:
            response: What the client returned: a response of OpenAI, Anthropic, Gemini, litellm or pydantic-ai, or its
                JSON. Or a `baton_dsl.llm.Usage` of your own, or a mapping with its names.
            model: The model; default: the one in the response, or else the one that was chosen for this step.
            provider: Who runs the model, such as `openai`; default: taken from the response or the name of the model.
            tier: The service tier, such as `batch`; default: the one in the response.
            latency: How long the call took.

        Returns:
            What was recorded, with its cost, which is None if no price is known for that model and tier.

        Raises:
            UsageError: BTN520, if a usage of your own is negative, absurd, or a part is more than its whole.
            ExtraMissingError: BTN420, if genai-prices is needed to read the response, and is not installed.

        Example:
            ```python
            response = await client.chat.completions.create(model="gpt-5-mini", messages=messages)
            context.record_usage(response)
            ```
        """
        return self.journal.record_usage(response, model=model, provider=provider, tier=tier, latency=latency)

    def capture(
        self,
        *,
        request: object,
        response: object = None,
        error: BaseException | str | None = None,
        model: str | None = None,
    ) -> None:
        """Store what was sent to a model and what came back. `baton debug` and `Workflow.captures` show it.

        It does so only in a workflow that was inserted with `debug=True`. Secrets are removed before anything is
        written: see `baton_dsl.llm.redact_also`. What is too large is shortened.

        Args:
            request: What was sent, as plain data or as a client's object.
            response: What came back.
            error: What went wrong instead.
            model: The model; default: the one that was chosen for this step.
        """
        if self.debug:
            self.journal.capture(request, response, error, model)

    @overload
    def once[**P, R](
        self, name: str, function: Callable[P, Coroutine[Any, Any, R]], /, *args: P.args, **kwargs: P.kwargs
    ) -> Coroutine[Any, Any, R]: ...
    @overload
    def once[**P, R](self, name: str, function: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> R: ...
    def once(self, name: str, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        """Call a function once for all attempts: its result is stored, and later attempts get the stored result.

        So a step that fails or dies after a call that costs money does not repeat the call. The result is stored in a
        transaction of its own as soon as the function returns, and deleted when the step's own result is stored. An
        exception is not stored: the next attempt calls again.

        In an async step, pass an async function and await the call: `await context.once("ask", ask, text)`. In a sync
        step, pass a sync function.

        Args:
            name: The name of the call. Calls of the same name are identified by their order, so every attempt must make
                them in the same order.
            function: The function to call. Its return annotation says how the result is stored and read.
            *args: Its positional arguments.
            **kwargs: Its keyword arguments.

        Returns:
            What the function returned, now or in an earlier attempt.

        Raises:
            OnceError: BTN522, if the name is not valid, or an async function is passed in a sync step.
            CheckpointError: BTN521, if the stored result no longer fits the annotation.
            ResultNotSerializableError: BTN502, if the result can't be stored as JSON.
        """
        return self.journal.once(name, function, args, kwargs)
