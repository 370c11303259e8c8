"""Each guarantee names existing tests."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from tests.docs.test_code_blocks import ROOT

ROWS = re.findall(r"^\| (?!promise|-)(.+?) \| (.+) \|$", (ROOT / "docs" / "guarantees.md").read_text(), re.MULTILINE)


def named(proof: str) -> Iterator[tuple[str, str]]:
    """Each test that a cell names, with its file."""
    for part in re.sub(r"\([^)]*\)", "", proof).split(";"):
        file, *tests = re.findall(r"`([\w/.]+)`", part)
        for test in tests:
            yield file, test


def test_there_are_guarantees() -> None:
    assert len(ROWS) > 10


@pytest.mark.parametrize(("promise", "proof"), ROWS)
def test_each_guarantee_is_proven_by_tests_that_exist(promise: str, proof: str) -> None:
    proofs = list(named(proof))
    assert proofs, promise
    for file, test in proofs:
        assert re.search(rf"def {test}\(", (ROOT / "tests" / file).read_text()), f"{file}: {test}"
