"""The first mutants of `make fuzz`, and faults that the fuzzer must detect."""

from pathlib import Path
from unittest import mock

import pytest
from baton_lint.source import walker

from tests.fuzz.attempt import attempt
from tests.fuzz.mutate import KINDS, Mutant, mutant_of
from tests.fuzz.shrink import shrunk

PARTS = 6
MUTANTS = 300


@pytest.mark.parametrize("part", range(PARTS))
def test_no_mutant_breaks_it(part: int, tmp_path: Path) -> None:
    for number in range(part, MUTANTS, PARTS):
        mutant = mutant_of(0, number)
        failure = attempt(mutant, tmp_path / "tree")
        assert failure is None, f"{failure.signature}\n{mutant}\n{failure.story}"


def test_the_same_number_is_the_same_mutant_and_every_kind_comes() -> None:
    assert [mutant_of(3, number) for number in range(50)] == [mutant_of(3, number) for number in range(50)]
    assert {mutant_of(0, number).kind for number in range(MUTANTS)} == set(KINDS)


def test_a_crash_is_seen_and_shrunk(tmp_path: Path) -> None:
    really = walker.Walker.visit_alias

    def crash(self: walker.Walker, node: object, where: object) -> None:
        raise KeyError("made for this test")

    source = b"from baton_dsl import Flow\n" + b"x = Flow('x')\n" * 20 + b"type T = int\n" + b"y = 1\n" * 9
    mutant = Mutant("text", {"flows.py": source, "other.py": b"x = 1\n"}, ("graph", "--strict"))
    assert attempt(mutant, tmp_path / "tree") is None
    with mock.patch.dict(walker._VISITS, {key: crash for key, value in walker._VISITS.items() if value is really}):
        failure = attempt(mutant, tmp_path / "tree")
        assert failure is not None
        assert failure.signature == "KeyError in walker.py:walk"
        smaller = shrunk(mutant, failure.signature, tmp_path / "tree")
    assert smaller == Mutant("text", {"flows.py": smaller.files["flows.py"]}, ())
    assert len(smaller.files["flows.py"]) < 40
    assert b"type " in smaller.files["flows.py"]
