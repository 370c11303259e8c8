"""`Usage`: what one call of a model used, how long it took, and what it cost."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from typing import Final, final

from baton_dsl.errors import UsageError

MOST_TOKENS: Final = 1_000_000_000
"""The most tokens of one call; a larger number can't be a count of tokens."""

TOKENS: Final = ("input", "cached", "cache_write", "output", "reasoning")


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """What one call of a model used.

    Attributes:
        model: The model that answered; None if it is not known.
        provider: Who runs it, such as `openai`.
        input: All tokens of the request, including those that were read from a cache or written to one.
        cached: The part of `input` that was read from a cache.
        cache_write: The part of `input` that was written to a cache.
        output: All tokens of the answer, including those of reasoning.
        reasoning: The part of `output` that is reasoning.
        tier: The service tier, such as `batch` or `flex`; None is the standard one.
        latency: How long the call took.
        cost: What it cost, in US dollars unless your own prices are in another currency; None if no price is known.
        remark: Why these numbers make no sense, or None if they do. With a remark, there is no cost.

    Raises:
        UsageError: BTN520, if a number is negative, absurd, or larger than the total that it is a part of.

    Example:
        >>> Usage(model="my-model", input=1200, cached=1000, output=80).input
        1200
    """

    model: str | None = None
    provider: str | None = None
    input: int = 0
    cached: int = 0
    cache_write: int = 0
    output: int = 0
    reasoning: int = 0
    tier: str | None = None
    latency: timedelta | None = None
    cost: Decimal | None = None
    remark: str | None = None

    def __post_init__(self) -> None:
        if reason := oddity({name: getattr(self, name) for name in TOKENS}):
            raise UsageError(f"this can't be the usage of a model: {reason}")
        cost: object = self.cost
        if cost is not None and not (isinstance(cost, Decimal) and cost.is_finite() and cost >= 0):
            raise UsageError(f"the cost of a call must be a Decimal that is not negative, got {cost!r:.60}")
        if self.latency is not None and self.latency < timedelta(0):
            raise UsageError(f"the latency of a call can't be negative, got {self.latency}")


def oddity(tokens: dict[str, object]) -> str | None:
    """What is wrong with numbers of tokens, by the names of `Usage`; None if nothing is.

    Example:
        >>> oddity({"input": 100, "cached": 500, "cache_write": 0, "output": 1, "reasoning": 0})
        'cached is 500, more than the input of 100 that it is a part of'
    """
    counts: dict[str, int] = {}
    for name, value in tokens.items():
        if not isinstance(value, int) or isinstance(value, bool):
            return f"{name} must be a number of tokens, got {value!r:.60}"
        if value < 0:
            return f"{name} is {value:,}, which is negative"
        if value > MOST_TOKENS:
            return f"{name} is {value:,}, more than any call can use"
        counts[name] = value
    for part, whole in (("cached", "input"), ("cache_write", "input"), ("reasoning", "output")):
        if counts[part] > counts[whole]:
            return f"{part} is {counts[part]:,}, more than the {whole} of {counts[whole]:,} that it is a part of"
    return None
