"""Read usages and prices with genai-prices.

Loading genai-prices takes a fifth of a second, so this module is imported only when the first call is recorded.
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
"""The context with which genai-prices finds the prices of a tier; for other tiers, the provider's own name is used."""
_HIGH: Final = Decimal(1_000_000)


def read(data: Any, provider: str, flavor: str) -> Detailed:
    """Read the usage in a response.

    Args:
        data: The response as JSON.
        provider: The provider whose extractor reads it.
        flavor: The interface of the provider that the response comes from.

    Raises:
        ValueError: If it has no usage, or one that makes no sense.
    """
    # `extract_usage` can't be used: it fails for a model that the provider does not list, such as one behind a proxy.
    extractors = next(each for each in get_snapshot().providers if each.id == provider)
    return extractors.extract_usage(data, api_flavor=flavor)[1]


def detailed_of(usage: Usage) -> Detailed:
    """Convert a usage to the type of genai-prices."""
    parts = {"cache_read_tokens": usage.cached, "cache_write_tokens": usage.cache_write}
    parts["output_reasoning_tokens"] = usage.reasoning
    present = {name: count for name, count in parts.items() if count}
    return Detailed(input_tokens=usage.input, output_tokens=usage.output, **present)


def listed_price(detailed: Detailed, model: str, provider: str | None, tier: str | None) -> Decimal | None:
    """What a call costs; None if the model has no listed price, or the price may be wrong.

    If genai-prices knows no price of a tier, it uses the standard price. The cost would be wrong, so each price that
    matters must be the tier's own.

    Args:
        detailed: The usage of the call.
        model: The model's name, without its provider.
        provider: The provider that runs the model; None for any that is known to.
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
    except ValueError:  # the model has no price for this kind of usage
        return None
    return cost


def _counts(standard: ModelPrice, special: ModelPrice, own: set[str], detailed: Detailed) -> bool:
    """Whether a price matters that the tier does not define itself."""
    high = copy(special)
    for name, price in vars(standard).items():
        if name not in own and price is not None:
            object.__setattr__(high, name, _HIGH)
    return bool(high.calc_price(detailed)["total_price"] != special.calc_price(detailed)["total_price"])
