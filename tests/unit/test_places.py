"""Places in the source: exact, and looked up once for a whole file."""

import ast
from pathlib import Path
from typing import Any

import pytest

from baton_dsl import Flow, Input, StepContext, step
from baton_dsl.core.spec import Place
from baton_dsl.places import DefinitionPlaces, Source

HERE = Path(__file__)


@step
async def f(region: Input[str], größe: Input[int] = 1) -> int:
    return größe


@step(queue="a", after=("f",))
def   spaced ( context : StepContext ) -> str:  # fmt: skip
    return "é"


def text_at(place: Place | None) -> str:
    """What stands at a place of one line."""
    assert place is not None
    assert place.line == place.end_line
    return HERE.read_text(encoding="utf-8").splitlines()[place.line - 1][place.column - 1 : place.end_column - 1]


def test_a_definition_has_places_that_count_characters() -> None:
    found = DefinitionPlaces.of(f.function)  # type: ignore[arg-type]
    assert text_at(found.name) == "f"
    assert found.name is not None
    assert found.name.column == len("async def ") + 1
    assert text_at(found.result) == "int"
    assert {name: text_at(place) for name, place in (found.parameters or {}).items()} == {
        "region": "region: Input[str]",
        "größe": "größe: Input[int]",
    }


def test_a_definition_with_odd_blanks_and_options_has_places() -> None:
    found = DefinitionPlaces.of(spaced.function)  # type: ignore[arg-type]
    assert text_at(found.name) == "spaced"
    assert {name: text_at(place) for name, place in (found.options or {}).items()} == {
        "queue": 'queue="a"',
        "after": 'after=("f",)',
    }
    assert {name: text_at(place) for name, place in (found.after or {}).items()} == {"f": '"f"'}


def places_of(flow: Flow) -> list[tuple[str, str]]:
    return [(finding.code, text_at(finding.place)) for finding in flow.diagnostics()]


def test_each_argument_of_a_flow_has_its_place() -> None:
    flow = Flow("x", f.named("é").bind(region="é"), f.named("é"), f.named("b").bind(region=3), spaced.named("c"))
    assert places_of(flow) == [("BTN102", '"f"'), ("BTN103", 'f.named("é")'), ("BTN303", "region=3")]


def test_the_names_in_deps_have_their_places() -> None:
    flow = Flow("x").add("a", spaced, deps=["é", "nothing"]).add("f", f.bind(region="eu"), deps=["nobody"])
    assert places_of(flow) == [("BTN102", '"é"'), ("BTN102", '"nothing"'), ("BTN102", '"nobody"')]


def test_what_an_unpacking_hides_is_told_at_the_call() -> None:
    steps = [f.named("a"), f.named("a")]
    wrong: dict[str, Any] = {"regoin": 1}
    assert places_of(Flow("x", *steps)) == [("BTN103", 'Flow("x", *steps)')]
    assert places_of(Flow("x", f.bind(**wrong))) == [("BTN303", "f.bind(**wrong)")]


def test_a_function_without_source_has_findings_without_places() -> None:
    names: dict[str, Any] = {"step": step}
    exec("@step\ndef lost(nothing: int) -> int:\n    return nothing\n", names)
    (finding,) = Flow("x", names["lost"]).diagnostics()
    assert finding.code == "BTN102"
    assert finding.place is None


def test_a_file_is_parsed_once_for_a_thousand_places(monkeypatch: pytest.MonkeyPatch) -> None:
    assert Source.of(__file__) is Source.of(__file__)
    parsed: list[str] = []
    walked: list[ast.AST] = []
    parse, walk = ast.parse, ast.walk
    monkeypatch.setattr("ast.parse", lambda *args, **kwargs: parsed.append("") or parse(*args, **kwargs))
    monkeypatch.setattr("ast.walk", lambda node: walked.append(node) or walk(node))
    flow = Flow("x")
    for number in range(1_000):
        flow.add(f"step_{number}", f.bind(region=3), deps=["nothing"])
    assert len(flow.diagnostics()) == 1_001  # one for the argument of `bind`, which all share
    assert len(parsed) <= 1
    assert len(walked) <= 1
