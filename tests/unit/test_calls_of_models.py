"""Calls of models before they are stored: usage, prices, and captures without secrets."""

from __future__ import annotations

import json
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import given
from pydantic import BaseModel, SecretStr

from baton_dsl import Flow
from baton_dsl.errors import UnknownPriceError, UsageError
from baton_dsl.llm import Price, Usage, set_price
from baton_dsl.llm.redaction import MOST_BYTES, captured
from baton_dsl.llm.reserving import reserved
from baton_dsl.llm.responses import usage_of
from baton_dsl.testing import Baton
from tests.integration.modules import model_steps

SECRET = "zQ7secretzQ7"


class Holder(BaseModel):
    key: SecretStr
    note: str = "n"


def chat(model: str, **details: Any) -> dict[str, Any]:
    return {"model": model, "usage": {"prompt_tokens": 1_000_000, "completion_tokens": 1_000_000, **details}}


@pytest.mark.parametrize("tier", [None, "default", "standard", "auto"])
def test_the_standard_tier_has_the_standard_price(tier: str | None) -> None:
    assert usage_of(chat("gpt-4o-mini"), tier=tier).cost == Decimal("0.75")


def test_a_tier_is_priced_right_or_not_at_all() -> None:
    cached = {"prompt_tokens_details": {"cached_tokens": 10}}
    assert usage_of(chat("gpt-4o-mini"), tier="batch").cost == Decimal("0.375")
    assert usage_of(chat("gpt-4o-mini", **cached), tier="batch").cost is None  # no batch price of what was cached
    assert usage_of(chat("gpt-4o-mini"), tier="flex").cost is None
    assert usage_of(chat("claude-2"), tier="batch").cost is None
    assert usage_of({**chat("gpt-4o-mini"), "service_tier": "priority"}).tier == "priority"


def test_a_price_of_ones_own_comes_first() -> None:
    set_price("gpt-4o-mini", Price(input=Decimal(1), output=Decimal(2)), tier="flex")
    try:
        assert usage_of(chat("gpt-4o-mini"), tier="flex").cost == Decimal(3)
        assert usage_of(chat("gpt-4o-mini")).cost == Decimal("0.75")
    finally:
        set_price("gpt-4o-mini", None, tier="flex")


@pytest.mark.parametrize(
    ("response", "remark"),
    [
        (None, "does not contain a usage"),
        ({"model": "gpt-4o"}, "does not contain a usage"),
        ("no json", "does not contain a usage"),
        ({"model": "gpt-4o", "usage": {"prompt_tokens": -1, "completion_tokens": 2}}, "can't be read"),
        ({"model": "gpt-4o", "usage": {"prompt_tokens": 10**12, "completion_tokens": 2}}, "more than any call can use"),
        (
            chat("gpt-4o", prompt_tokens_details={"cached_tokens": 2_000_000}),
            "cached is 2,000,000, more than the input",
        ),
    ],
)
def test_a_response_that_makes_no_sense_is_remarked_on_and_has_no_cost(response: object, remark: str) -> None:
    usage = usage_of(response)
    assert usage.cost is None
    assert usage.remark is not None
    assert remark in usage.remark


@pytest.mark.parametrize("wrong", [{"input": -1}, {"input": 1, "cached": 2}, {"output": 10**12}, {"input": True}])
def test_a_usage_made_by_hand_that_makes_no_sense_is_an_error(wrong: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="BTN520"):
        Usage(**wrong)
    with pytest.raises(UsageError, match="BTN520"):
        usage_of(wrong)


def test_declared_tokens_of_a_model_without_a_price_are_an_error() -> None:
    with pytest.raises(UnknownPriceError, match="BTN523"):
        reserved({"max_input_tokens": 5}, ["unheard-of"])
    assert reserved({"max_output_tokens": 1_000_000}, ["gpt-4o-mini", "gpt-4o"]) == "10.00"


KEYS = st.sampled_from(["api_key", "x-api-key", "Authorization", "clientSecret", "PASSWORD", "refresh_token", "Cookie"])
PLAIN = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=20), st.binary(max_size=8))
HIDDEN = st.one_of(
    st.builds(lambda key: {key: SECRET}, KEYS),
    st.builds(lambda key: [[key, SECRET]], KEYS),
    st.builds(lambda key: {"name": key, "value": SECRET}, KEYS),
    st.builds(lambda key: {"arguments": json.dumps({"deep": [{key: SECRET}]})}, KEYS),
    st.builds(lambda key: {key: {"nested": [SECRET]}}, KEYS),
    st.just(SecretStr(SECRET)),
    st.just(Holder(key=SecretStr(SECRET))),
    st.just(f"Authorization: Bearer {SECRET}"),
    st.just(f"postgresql://me:{SECRET}@host/db"),
    st.just(f"https://x.y/z?api_key={SECRET}&q=1"),
    st.just(f"sk-{SECRET}"),
    st.just(ValueError(f"wrong key sk-{SECRET}")),
    st.just(f"password={SECRET} and more".encode()),
)
NESTED = st.recursive(
    st.one_of(PLAIN, HIDDEN),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.dictionaries(st.text(max_size=8), inner, max_size=4),
        st.tuples(inner, inner),
    ),
    max_leaves=20,
)


@given(NESTED)
def test_no_secret_is_in_what_is_captured(value: object) -> None:
    text = captured(value)
    assert SECRET not in text
    json.loads(text)


@given(st.dictionaries(st.sampled_from(["max_tokens", "prompt", "role", "keyboard", "secretary"]), st.integers()))
def test_what_is_no_secret_stays(value: dict[str, int]) -> None:
    assert json.loads(captured(value)) == value


@pytest.mark.parametrize("value", ["x" * 10**6, ["é" * 900] * 2_000, {str(at): "y" * 50 for at in range(30_000)}])
def test_a_capture_above_the_bound_is_shortened_and_stays_json(value: object) -> None:
    text = captured(value)
    assert len(text.encode()) <= MOST_BYTES
    json.loads(text)


@pytest.mark.parametrize("step", [model_steps.twice, model_steps.twice_in_a_thread])
def test_a_run_in_memory_makes_no_stored_call_again(baton: Baton, step: Any) -> None:
    model_steps.CALLS.clear()
    run = baton.sync.run(Flow("once", step), text="hi")
    assert run.outcome == "completed"
    assert model_steps.CALLS == ["hi", "HI!"]


def test_a_run_in_memory_records_usage_and_captures(baton: Baton) -> None:
    run = baton.sync.run(Flow("llm", model_steps.draft, model_steps.check).options(debug=True))
    assert run.usage.steps["draft"].calls == 2
    assert run.usage.lower_bound
    assert [capture.attempt for capture in run.captures("draft")] == [1, 2]
    assert "s3cr3t" not in str(run.captures("draft")[0].request)


# --- what clients return ---------------------------------------------------------------------------------------------


def _openai_chat() -> object:
    from openai.types.chat import ChatCompletion

    usage = {
        "prompt_tokens": 100,
        "completion_tokens": 20,
        "total_tokens": 120,
        "prompt_tokens_details": {"cached_tokens": 40},
        "completion_tokens_details": {"reasoning_tokens": 5},
    }
    body = {"id": "1", "object": "chat.completion", "created": 0, "model": "gpt-4o-mini", "choices": [], "usage": usage}
    return ChatCompletion.model_validate(body)


def _openai_response() -> object:
    from openai.types.responses import Response
    from openai.types.responses.response_usage import ResponseUsage

    usage = {
        "input_tokens": 100,
        "input_tokens_details": {"cached_tokens": 40},
        "output_tokens": 20,
        "output_tokens_details": {"reasoning_tokens": 5},
        "total_tokens": 120,
    }
    told = ResponseUsage.model_construct(**usage)
    return Response.model_construct(id="1", object="response", model="gpt-4o-mini", output=[], usage=told)


def _anthropic_message() -> object:
    from anthropic.types import Message

    usage = {"input_tokens": 50, "cache_read_input_tokens": 40, "cache_creation_input_tokens": 10, "output_tokens": 20}
    body = {"id": "1", "type": "message", "role": "assistant", "model": "claude-sonnet-4-5", "content": []}
    return Message.model_validate({**body, "usage": usage, "stop_reason": "end_turn", "stop_sequence": None})


def _gemini() -> object:
    usage = {
        "promptTokenCount": 100,
        "cachedContentTokenCount": 40,
        "candidatesTokenCount": 15,
        "thoughtsTokenCount": 5,
    }
    return {"modelVersion": "gemini-2.5-flash", "candidates": [], "usageMetadata": {**usage, "totalTokenCount": 120}}


def _pydantic_ai() -> object:
    from pydantic_ai.messages import ModelResponse
    from pydantic_ai.usage import RequestUsage

    usage = RequestUsage(input_tokens=100, cache_read_tokens=40, output_tokens=20)
    return ModelResponse(parts=[], usage=usage, model_name="gpt-4o-mini", provider_name="openai")


@pytest.mark.parametrize(
    ("response", "model", "cache_write", "reasoning"),
    [
        (_openai_chat, "gpt-4o-mini", 0, 5),
        (_openai_response, "gpt-4o-mini", 0, 5),
        (_anthropic_message, "claude-sonnet-4-5", 10, 0),
        (_gemini, "gemini-2.5-flash", 0, 5),
        (_pydantic_ai, "gpt-4o-mini", 0, 0),
    ],
    ids=["openai chat", "openai responses", "anthropic", "gemini", "pydantic-ai"],
)
def test_what_a_client_returned_says_what_was_used(
    response: Callable[[], object], model: str, cache_write: int, reasoning: int
) -> None:
    usage = usage_of(response())
    assert (usage.remark, usage.model) == (None, model)
    assert (usage.input, usage.cached, usage.output) == (100, 40, 20)
    assert (usage.cache_write, usage.reasoning) == (cache_write, reasoning)
    assert usage.cost is not None
    assert usage.cost > 0
