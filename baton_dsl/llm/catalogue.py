"""What genai-prices knows of models: how to read the usage of a response, and what a call costs.

This module loads genai-prices, which takes a fifth of a second: it is imported when the first call is recorded.
"""

from __future__ import annotations

from copy import copy
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Final

from genai_prices import Usage as Detailed
from genai_prices.data_snapshot import get_snapshot
from genai_prices.types import ModelPrice

from baton_dsl.llm.usage import Usage

_CONTEXTS: Final = {"batch": {"processing": "batch"}}
"""What tells genai-prices of a tier; of others it is the provider's own name."""
_HIGH: Final = Decimal(1_000_000)


def read(data: Any, provider: str, flavor: str) -> Detailed:
    """What a response says of its usage.

    Args:
        data: The response as JSON has it.
        provider: Whose extractor reads it.
        flavor: Which of the provider's interfaces the response is of.

    Raises:
        ValueError: If it says nothing, or nothing that makes sense.
    """
    # Not by `extract_usage`: it refuses a model that the provider does not list, such as one behind a proxy.
    extractors = next(each for each in get_snapshot().providers if each.id == provider)
    return extractors.extract_usage(data, api_flavor=flavor)[1]


def detailed_of(usage: Usage) -> Detailed:
    """A usage as genai-prices has it."""
    parts = {"cache_read_tokens": usage.cached, "cache_write_tokens": usage.cache_write}
    parts["output_reasoning_tokens"] = usage.reasoning
    present = {name: count for name, count in parts.items() if count}
    return Detailed(input_tokens=usage.input, output_tokens=usage.output, **present)


def listed_price(detailed: Detailed, model: str, provider: str | None, tier: str | None) -> Decimal | None:
    """What a call costs; None if no price is listed for the model, or none that is known to be right.

    genai-prices takes the standard price where it knows no other of a tier. That would tell a wrong cost, so each price
    that counts must be one of the tier.

    Args:
        detailed: What the call used.
        model: The model's name, without its provider.
        provider: Who runs it; None for whoever is known to.
        tier: The service tier; None is the standard one.
    """
    now = datetime.now(UTC)
    try:
        found_provider, found = get_snapshot().find_provider_model(model, None, provider, None)
    except LookupError:
        return None
    context = None if tier is None else _CONTEXTS.get(tier, {"service_tier": tier})
    try:
        cost = found.calc_price(
            detailed, found_provider, genai_request_timestamp=now, price_context=context
        ).total_price
        if context is not None:
            standard, special = found.get_prices(now), found.get_prices(now, context)
            own = {
                name
                for variant in found.price_variants or ()
                if variant.when.items() <= context.items()
                and (variant.constraint is None or variant.constraint.active(now))
                for name, price in vars(variant.prices).items()
                if price is not None
            }
            if not own or _counts(standard, special, own, detailed):
                return None
    except ValueError:  # usage that this model has no price for
        return None
    return cost


def _counts(standard: ModelPrice, special: ModelPrice, own: set[str], detailed: Detailed) -> bool:
    """Whether a price counts that a tier has not of its own: then its height makes a difference."""
    high = copy(special)
    for name, price in vars(standard).items():
        if name not in own and price is not None:
            object.__setattr__(high, name, _HIGH)
    return bool(high.calc_price(detailed)["total_price"] != special.calc_price(detailed)["total_price"])
