"""Codes and sentences that are both in SQL and in Python must be the same."""

import re
from importlib.resources import files

import pytest

from baton_dsl.core import reasons

SQL = "\n".join(path.read_text() for path in files("baton_dsl.runtime.sql").joinpath("functions").iterdir())  # type: ignore[attr-defined]


def test_every_code_that_a_function_writes_is_explained_and_no_other() -> None:
    written = set(re.findall(r"BTN5\d\d", SQL))
    assert written == set(reasons.REASONS), "core/reasons.py explains each code that a function of the schema writes"


@pytest.mark.parametrize("name", ["WITH_ITS_WORKFLOW", "BEFORE_IT_RETURNED", "WITH_AN_UPSTREAM", "SKIPPED"])
def test_a_sentence_stands_in_a_function_as_it_does_here(name: str) -> None:
    sentence: str = getattr(reasons, name)
    assert f"'{sentence}" in SQL, f"no function of the schema writes {sentence!r}"
