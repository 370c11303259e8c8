"""The databases of `baton_db` are on the server of all other tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from baton_dsl.testing.database import BatonServer


@pytest.fixture(scope="session")
def baton_server(server: str) -> Iterator[BatonServer]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BATON_TEST_DSN", server)
        with BatonServer() as made:
            assert made.dsn == server
            yield made
