"""Syntax of a newer Python than the one that runs baton-lint is parsed, with correct places."""

from pathlib import Path

import pytest
from baton_lint.source.decoding import written_older

from tests.lint.support import lint, run, write

SOURCE = '''\
from baton_dsl import Flow, step

@step
def orders() -> list[int]:
    return [1]

@step
def report(order: list[int]) -> str:
    try:
        text = t"{order!r:>{10}} {t'{order}'}"; text += rt"\\d" + Tr"x" + T"""
        {order}"""
    except ValueError, TypeError:
        return str(text)
    except* builtins.OSError , KeyError :
        pass
    return order

shop = Flow("shop", orders, report)
'''
FOUND = 'flows.py:8:12: BTN102: step "report" has no upstream or input called "order"; did you mean "orders"?'


def test_names_keep_their_places(tmp_path: Path) -> None:
    source = SOURCE.replace("    except* builtins.OSError , KeyError :\n        pass\n", "")
    write(tmp_path, {"pyproject.toml": "", "flows.py": source})
    assert lint(tmp_path) == [FOUND]
    assert run(tmp_path, "--no-cache", "--fix").status == 0
    fixed = (tmp_path / "flows.py").read_text()
    expected = source.replace("(order:", "(orders:").replace("{order", "{orders")
    assert fixed == expected.replace("return order\n", "return orders\n")


def test_every_line_keeps_its_length() -> None:
    older = written_older(SOURCE)
    assert [len(line) for line in older.split("\n")] == [len(line) for line in SOURCE.split("\n")]
    assert "except ValueError| TypeError:" in older
    assert "except* builtins.OSError | KeyError :" in older


LAZY = """\
lazy  import steps
lazy from baton_dsl import Flow, step

@step
def total(rows: int) -> int:
    return rows

shop = Flow("shop", steps.rows, total)
"""


def test_a_lazy_import_binds_what_it_names(tmp_path: Path) -> None:
    rows = "from baton_dsl import step\n\n@step\ndef rows() -> str:\n    return ''\n"
    write(tmp_path, {"pyproject.toml": "", "flows.py": LAZY, "steps.py": rows})
    found = 'flows.py:5:11: BTN201: parameter "rows" of step "total" is int, but upstream "rows" gives str'
    assert lint(tmp_path) == [found]


@pytest.mark.parametrize(
    "text",
    [
        "except (A, B):",
        "x.t('a')",
        "cat'a'",
        "except A as b, c:",
        "print(t, 'x')",
        'do not"x"',
        "lazy = 1",
        "x.lazy\nimport a",
    ],
)
def test_what_is_no_newer_syntax_stays(text: str) -> None:
    assert written_older(text) == text


def test_a_mistake_is_told_as_it_is_written(tmp_path: Path) -> None:
    write(tmp_path, {"pyproject.toml": "", "flows.py": SOURCE + "def f(:\n"})
    (line,) = lint(tmp_path)
    assert line.startswith("flows.py:")
    assert "BTN902: can't be parsed: " in line
