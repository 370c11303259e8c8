"""What makes baton-lint fast, and must not change what it says."""

import ast
import gc
from pathlib import Path

import pytest
from baton_lint.search.cache import Cache
from baton_lint.search.folders import walk
from baton_lint.session import Session
from baton_lint.source.expressions import parse, shape
from baton_lint.source.extracting import extract

from tests.lint.support import lint, write

SOURCE = b"""\
from baton_dsl import Flow, step

@step
def a() -> list[int]:
    found = []
    for number in range(3):
        if number:
            found.append(number)
    try:
        return found
    finally:
        print([lambda: item for item in found])

flow = Flow("f", a)
"""
PLACE = (1, 1, 1, 1)


def test_a_syntax_tree_is_freed_though_no_garbage_is_collected() -> None:
    gc.collect()
    gc.disable()
    try:
        before = sum(issubclass(type(item), ast.AST) for item in gc.get_objects())
        facts = extract(SOURCE)
        assert sum(issubclass(type(item), ast.AST) for item in gc.get_objects()) == before
    finally:
        gc.enable()
    assert facts["functions"]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Literal[1]", "Literal[True]"),
        ("Literal['a']", "Literal[a]"),
        ("list[a]", "list[b]"),
        ("a.b", "a[b]"),
        ("a.b", "a.c"),
        ("tuple[a, b]", "tuple[[a, b]]"),
        ("a | b", "a[b]"),
        ("a[b, c]", "a[c, b]"),
    ],
)
def test_different_annotations_have_different_shapes(one: str, other: str) -> None:
    assert shape(parse(one, PLACE)) != shape(parse(other, PLACE))


@pytest.mark.parametrize("text", ["list[a.b | None]", "tuple[()]", "'a'", "None", "Literal[-1, b'x']"])
def test_equal_annotations_have_one_shape_wherever_they_stand(text: str) -> None:
    assert shape(parse(text, PLACE)) == shape(parse(text, (7, 3, 7, 20))) is not None


def test_an_annotation_with_a_call_has_no_shape() -> None:
    assert shape(parse("list[Annotated[int, Field(gt=1)]]", PLACE)) is None


def test_one_annotation_means_two_things_in_two_scopes(tmp_path: Path) -> None:
    flow = "@step\ndef a() -> list[int]: ...\n\n@step\ndef b(a: list[Item]) -> None: ...\n\n"
    inner = "".join(f"    {line}\n" for line in f"Item = str\n{flow}return Flow('one', a, b)".splitlines())
    source = f"from baton_dsl import Flow, step\n\nItem = int\n\ndef made():\n{inner}\n{flow}flow = Flow('two', a, b)\n"
    write(tmp_path, {"pyproject.toml": "", "flows.py": source})
    assert lint(tmp_path, "--select", "BTN201") == [
        'flows.py:11:11: BTN201: parameter "a" of step "b" is list[str], but upstream "a" gives list[int]'
    ]


def test_a_first_run_stats_no_file_before_it_opens_it_and_knows_all_stamps_afterwards(tmp_path: Path) -> None:
    write(tmp_path, {"pyproject.toml": "", "flows.py": SOURCE.decode(), "plain.py": "x = 1\n"})
    assert set(walk([str(tmp_path)], None, with_stamps=False).stamps.values()) == {None}
    session, cache = Session([str(tmp_path)], str(tmp_path)), Cache()
    stamps = walk([str(tmp_path)], None, with_stamps=False).stamps
    session._look(cache, stamps)
    assert stamps == walk([str(tmp_path)], None).stamps
