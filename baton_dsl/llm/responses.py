"""Turn a client's response into a `Usage`: of OpenAI, Anthropic, Gemini, litellm and pydantic-ai."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from datetime import timedelta
from decimal import Decimal
from importlib import import_module
from typing import Any, Final

from baton_dsl import extras
from baton_dsl.core.wording import storable
from baton_dsl.errors import UsageError
from baton_dsl.llm.prices import plain_tier, price_of, split_model
from baton_dsl.llm.usage import MOST_TOKENS, TOKENS, Usage, oddity

LONGEST_NAME: Final = 255
"""The most characters that are kept of the name of a model, a provider or a tier."""

_FIELDS: Final = frozenset(field.name for field in dataclasses.fields(Usage))
_TOLD: Final = frozenset({*TOKENS, "cost"})
_OF_A_USAGE: Final = frozenset({"prompt_tokens", "input_tokens", "inputTokens"})


def usage_of(
    response: object,
    *,
    model: str | None = None,
    provider: str | None = None,
    tier: str | None = None,
    latency: timedelta | None = None,
    default_model: str | None = None,
) -> Usage:
    """The usage of a response, with its cost.

    The call was paid for, so nothing is raised if the response makes no sense: `remark` says so.

    Args:
        response: What a client returned, or its JSON; or a `Usage`, or a mapping with the names of `Usage`.
        model: The model; default: the one in the response.
        provider: Who runs the model; default: taken from the response or the model's name.
        tier: The service tier; default: the one in the response.
        latency: How long the call took.
        default_model: The model if neither `model` nor the response names one.

    Raises:
        UsageError: BTN520, if an argument makes no sense, or a mapping with the names of `Usage`.
        ExtraMissingError: BTN420, if genai-prices is needed to read the response, and is not installed.
    """
    if latency is not None and latency < timedelta(0):
        raise UsageError(f"the latency of a call can't be negative, got {latency}")
    if isinstance(response, Mapping) and response.keys() <= _FIELDS and not _TOLD.isdisjoint(response):
        response = Usage(**response)
    if isinstance(response, Usage):
        named = _named(
            model or response.model or default_model,
            provider or response.provider,
            tier or response.tier,
            response.latency if latency is None else latency,
        )
        return _priced(dataclasses.replace(response, **named))
    body = _body(_plain(response))
    reported = body.get("model") or body.get("modelVersion") or body.get("model_name")
    name = model or (reported if isinstance(reported, str) else None) or default_model
    sender = body.get("provider_name")
    provider = provider or (sender if isinstance(sender, str) else None) or (split_model(name)[0] if name else None)
    named = _named(name, provider, tier or _tier(body), latency)
    if (tokens := _of_pydantic_ai(body)) is not None:
        return _counted(tokens, named)
    if (kind := _kind(body)) is None:
        return Usage(**named, remark=f"{_said(response)} does not contain a usage")
    with extras.needed():
        catalogue = import_module("baton_dsl.llm.catalogue")
    try:
        detailed = catalogue.read(body, *kind)
    except (ValueError, TypeError) as error:
        return Usage(**named, remark=f"the usage of {_said(response)} can't be read: {_first_line(error)}")
    tokens = {name: detailed.reported_value(key) for name, key in _DETAILS.items()}
    return _counted(tokens, named, detailed)


_DETAILS: Final = {
    "input": "input_tokens",
    "cached": "cache_read_tokens",
    "cache_write": "cache_write_tokens",
    "output": "output_tokens",
    "reasoning": "output_reasoning_tokens",
}


def _named(model: str | None, provider: str | None, tier: str | None, latency: timedelta | None) -> dict[str, Any]:
    """The fields of a usage other than tokens, in a form that can be stored."""
    names = {"model": model, "provider": provider, "tier": plain_tier(tier)}
    kept = {key: storable(value)[:LONGEST_NAME] if value else None for key, value in names.items()}
    return {**kept, "latency": latency}


def _counted(tokens: Mapping[str, Any], named: Mapping[str, Any], detailed: Any = None) -> Usage:
    """The usage of a response, whose numbers may make no sense."""
    whole: dict[str, Any] = {
        name: int(count) if isinstance(count, Decimal | float) else count for name, count in tokens.items()
    }
    if (reason := oddity(whole)) is None:
        return _priced(Usage(**whole, **named), detailed)
    kept: dict[str, Any] = {
        name: min(max(0, count), MOST_TOKENS) if isinstance(count, int) else 0 for name, count in whole.items()
    }
    for part, of in (("cached", "input"), ("cache_write", "input"), ("reasoning", "output")):
        kept[part] = min(kept[part], kept[of])
    return Usage(**kept, **named, remark=f"the numbers of the response make no sense: {reason}")


def _priced(usage: Usage, detailed: Any = None) -> Usage:
    if usage.cost is not None or usage.remark is not None:
        return usage
    return dataclasses.replace(usage, cost=price_of(usage, detailed))


# --- what responses look like ----------------------------------------------------------------------------------------


def _plain(response: object) -> object:
    """The parts of a response that matter for its usage, as JSON."""
    if isinstance(response, str | bytes | bytearray):
        try:
            return json.loads(response)
        except ValueError:
            return None
    if isinstance(response, Mapping):
        return response
    if callable(dump := getattr(response, "model_dump", None)):  # pydantic: openai, anthropic, google-genai, litellm
        return dump(mode="json", by_alias=True, exclude_none=True, warnings=False)
    if dataclasses.is_dataclass(response) and not isinstance(response, type):
        usage = getattr(response, "usage", None)
        if usage is None:
            return _fields(response)
        names = {name: getattr(response, name, None) for name in ("model_name", "provider_name")}
        return {**names, "usage": _plain(usage() if callable(usage) else usage)}
    if callable(read := getattr(response, "json", None)):  # httpx, requests
        return read()
    if (usage := getattr(response, "usage", None)) is not None:  # a run of an agent that has not ended
        return {"usage": _plain(usage() if callable(usage) else usage)}
    return None


def _fields(response: Any) -> dict[str, Any]:
    return {field.name: getattr(response, field.name, None) for field in dataclasses.fields(response)}


def _body(data: object) -> Mapping[str, Any]:
    """The part that contains the usage: the response, the response in a stream's last event, or the usage itself."""
    if not isinstance(data, Mapping):
        return {}
    inner = data.get("response")
    if isinstance(inner, Mapping) and "usage" not in data:
        return inner
    if "usage" in data or "usageMetadata" in data:
        return data
    if "usage_metadata" in data:
        return {**data, "usageMetadata": _camel(data["usage_metadata"])}
    if "promptTokenCount" in data:
        return {"usageMetadata": data}
    return {"usage": data} if not _OF_A_USAGE.isdisjoint(data) else data


def _camel(data: object) -> object:
    if not isinstance(data, Mapping):
        return data
    return {
        "".join([first, *map(str.title, rest)]): it for key, it in data.items() for first, *rest in [key.split("_")]
    }


def _kind(body: Mapping[str, Any]) -> tuple[str, str] | None:
    """The extractor for a response, by its shape: many providers use the formats of OpenAI or Anthropic."""
    if isinstance(body.get("usageMetadata"), Mapping):
        return ("google", "default")
    usage = body.get("usage")
    if not isinstance(usage, Mapping):
        return None
    if "prompt_tokens" in usage:
        return ("openai", "chat" if usage.get("completion_tokens") is not None else "embeddings")
    if "input_tokens" in usage:
        is_anthropic = body.get("type") == "message" or any(key.startswith("cache_") for key in usage)
        return ("anthropic", "default") if is_anthropic else ("openai", "responses")
    return ("aws", "default") if "inputTokens" in usage else None


def _of_pydantic_ai(body: Mapping[str, Any]) -> dict[str, Any] | None:
    """The tokens of a usage of pydantic-ai, which counts them like `Usage`."""
    usage = body.get("usage")
    if not isinstance(usage, Mapping) or "cache_read_tokens" not in usage or "input_tokens" not in usage:
        return None
    details = usage.get("details")
    reasoning = details.get("reasoning_tokens", 0) if isinstance(details, Mapping) else 0
    return {
        "input": usage["input_tokens"],
        "cached": usage["cache_read_tokens"],
        "cache_write": usage.get("cache_write_tokens", 0),
        "output": usage.get("output_tokens", 0),
        "reasoning": reasoning,
    }


def _tier(body: Mapping[str, Any]) -> str | None:
    usage = body.get("usage")
    tier = body.get("service_tier") or (usage.get("service_tier") if isinstance(usage, Mapping) else None)
    return tier if isinstance(tier, str) else None


def _said(response: object) -> str:
    return f"the response, a {type(response).__name__},"


def _first_line(error: Exception) -> str:
    return storable((str(error).splitlines() or [type(error).__name__])[0][:200])
