"""The key of caches is a file of the user's; tests have one of their own."""

import pytest


@pytest.fixture(autouse=True, scope="session")
def key_of_caches(tmp_path_factory: pytest.TempPathFactory) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("home")))
        yield
