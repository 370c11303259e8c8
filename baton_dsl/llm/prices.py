"""Compute what a call costs, with your own prices first, then with those of genai-prices."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from importlib import import_module
from typing import Any, Final, final

from baton_dsl.llm.usage import Usage

MILLION: Final = Decimal(1_000_000)

STANDARD: Final = frozenset({"", "default", "standard", "standard_only", "auto", "on_demand"})
"""Names of the standard tier, whose prices the providers list."""

PROVIDERS: Final = {
    "google-gla": "google",
    "google-vertex": "google",
    "gemini": "google",
    "vertex_ai": "google",
    "bedrock": "aws",
    "openai-chat": "openai",
    "openai-responses": "openai",
    "grok": "x-ai",
    "xai": "x-ai",
    "together_ai": "together",
    "fireworks_ai": "fireworks",
}
"""The names of providers in pydantic-ai and litellm -> their names in genai-prices."""


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Price:
    """The price of a model for a million tokens.

    Attributes:
        input: The price of tokens of the request.
        output: The price of tokens of the answer.
        cached: The price of tokens that are read from a cache; default: `input`.
        cache_write: The price of tokens that are written to a cache; default: `input`.
    """

    input: Decimal
    output: Decimal
    cached: Decimal | None = None
    cache_write: Decimal | None = None

    def __post_init__(self) -> None:
        for name in ("input", "output", "cached", "cache_write"):
            value: object = getattr(self, name)
            if value is None and name in ("cached", "cache_write"):
                continue
            if not isinstance(value, Decimal) or not value.is_finite() or value < 0:
                raise ValueError(f"{name} must be a Decimal that is not negative, got {value!r:.60}")

    def of(self, usage: Usage) -> Decimal:
        """What a call costs."""
        cached = self.input if self.cached is None else self.cached
        cache_write = self.input if self.cache_write is None else self.cache_write
        plain = max(0, usage.input - usage.cached - usage.cache_write)
        cost = plain * self.input + usage.cached * cached + usage.cache_write * cache_write
        return (cost + usage.output * self.output) / MILLION


_own: Final[dict[tuple[str, str | None], Price]] = {}


def set_price(model: str, price: Price | None, *, tier: str | None = None) -> None:
    """Set the price of a model, for this process. It overrides the price of genai-prices.

    Args:
        model: The model's name as usage is recorded: `my-model`, or `openai:gpt-5` for only one provider.
        price: The price; None removes the one that was set.
        tier: The service tier of the price, such as `batch`; None is the standard tier.

    Example:
        >>> set_price("my-model", Price(input=Decimal("0.5"), output=Decimal("2")))
        >>> price_of(Usage(model="my-model", input=1_000_000, output=500_000))
        Decimal('1.5')
        >>> set_price("my-model", None)
    """
    if price is None:
        _own.pop((model, plain_tier(tier)), None)
    else:
        _own[model, plain_tier(tier)] = price


def plain_tier(tier: str | None) -> str | None:
    """Normalize a service tier: None for the standard tier, whatever name a provider uses."""
    lower = (tier or "").strip().lower()
    return None if lower in STANDARD else lower


def split_model(model: str) -> tuple[str | None, str]:
    """Split the full name of a model into its provider, or None if it has none, and the rest.

    Example:
        >>> split_model("anthropic:claude-sonnet-4-5"), split_model("llama3:8b")
        (('anthropic', 'claude-sonnet-4-5'), (None, 'llama3:8b'))
    """
    before, separator, rest = model.partition(":")
    if separator and rest and before.replace("-", "").replace("_", "").isalpha() and before.islower():
        return PROVIDERS.get(before, before), rest
    return None, model


def price_of(usage: Usage, detailed: Any = None) -> Decimal | None:
    """What a call costs; None if no price is known for its model and its tier.

    Args:
        usage: The usage of the call.
        detailed: The usage in the type of genai-prices, which distinguishes more than `Usage`.
    """
    if usage.model is None:
        return None
    tier = plain_tier(usage.tier)
    provider, name = split_model(usage.model)
    provider = (PROVIDERS.get(usage.provider, usage.provider) if usage.provider else None) or provider
    for own in (usage.model, f"{provider}:{name}", name):
        if (price := _own.get((own, tier))) is not None:
            return price.of(usage)
    try:
        catalogue = import_module("baton_dsl.llm.catalogue")
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "genai_prices":
            raise
        return None
    cost: Decimal | None = catalogue.listed_price(detailed or catalogue.detailed_of(usage), name, provider, tier)
    return cost
