"""Responses of litellm. It is too large for every test run: `make test-litellm`."""

from __future__ import annotations

import pytest
from pytest_httpserver import HTTPServer

from baton_dsl.testing import context
from tests.adapters import wire


def test_the_usage_of_responses_of_litellm_is_read(httpserver: HTTPServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LITELLM_LOCAL_MODEL_COST_MAP", "True")  # else it asks another host
    litellm = pytest.importorskip("litellm")
    wire.serve(httpserver)
    places = {"openai/gpt-4o-mini": httpserver.url_for("/v1"), "anthropic/claude-sonnet-4-6": httpserver.url_for("")}
    for model, url in places.items():
        asked = {"model": model, "api_base": url, "api_key": "none", "messages": [{"role": "user", "content": "hi"}]}
        usage = context().record_usage(litellm.completion(**asked))
        assert (usage.input, usage.cached, usage.output) == (1000, 600, 50)
        assert usage.cost is not None
