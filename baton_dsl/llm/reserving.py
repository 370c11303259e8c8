"""Compute what an attempt of a step reserves of the workflow's budget before it starts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any, Final

from baton_dsl.errors import UnknownPriceError
from baton_dsl.llm.prices import price_of
from baton_dsl.llm.usage import Usage

RESERVE: Final = "baton_reserve"
"""The key in a job's meta for the amount that each attempt reserves."""

TOKEN_OPTIONS: Final = ("max_input_tokens", "max_output_tokens")


def reserved(options: Mapping[str, Any], models: Sequence[str]) -> str | None:
    """What each attempt of a step reserves.

    Args:
        options: The options of the step.
        models: The models that were chosen for it; if several, the most expensive one counts.

    Returns:
        The amount. It is 0 for a step that has a model but declares no cost: it starts while anything is left. It is
        None
        for a step without a model: it may always start.

    Raises:
        UnknownPriceError: BTN523, if the step declares its tokens, but their price is not known.

    Example:
        >>> reserved({"max_cost": Decimal("0.50")}, ["my-model"]), reserved({}, ["my-model"]), reserved({}, [])
        ('0.50', '0', None)
    """
    bounds = [bound_of(options, model) for model in models] or [bound_of(options, None)]
    known = [bound for bound in bounds if bound is not None]
    if known:
        return format(max(known), "f")
    return "0" if models else None


def bound_of(options: Mapping[str, Any], model: str | None) -> Decimal | None:
    """The most that an attempt can cost by the options of its step; None if they do not say.

    Raises:
        UnknownPriceError: BTN523, if the step declares its tokens, but their price is not known.
    """
    if "max_cost" in options:
        return Decimal(options["max_cost"])
    if not any(name in options for name in TOKEN_OPTIONS):
        return None
    if model is None:
        raise UnknownPriceError("it has no model", remedy="choose one with models=, or declare max_cost instead")
    usage = Usage(model=model, input=options.get(TOKEN_OPTIONS[0], 0), output=options.get(TOKEN_OPTIONS[1], 0))
    price = price_of(usage)
    if price is None:
        raise UnknownPriceError(f'no price is known for the model "{model}"')
    return price
