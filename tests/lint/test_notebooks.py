"""Notebooks: code cells in their order, places by cell, and the syntax of IPython."""

import json
from pathlib import Path

import pytest
from baton_lint.source.notebooks import python_of
from jsonschema import Draft7Validator

from tests.lint.support import lint, run, write

IMPORTS = "%load_ext autoreload\n!pip install baton-dsl\nfrom baton_dsl import Flow, step\n"
STEPS = "# steps\n@step\ndef orders() -> list[int]:\n    return [1]\n"
REPORT = "@step\ndef report(order: list[int]) -> int:\n    return len(order)\n"
FLOW = "shop = Flow('shop', orders, report)\nshop?\nawait shop.insert(days=3)"
MESSAGE = 'BTN102: step "report" has no upstream or input called "order"; did you mean "orders"?'
INPUT = 'BTN303: the flow has no input called "days"'


def notebook(*cells: str, **metadata: object) -> str:
    made = [
        {
            "cell_type": "markdown" if text.startswith("# ") and "\n" not in text else "code",
            "metadata": {},
            "outputs": [],
            "execution_count": None,
            "source": text.splitlines(keepends=True),
        }
        for text in cells
    ]
    return json.dumps({"cells": made, "metadata": metadata, "nbformat": 4, "nbformat_minor": 5}, indent=1)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    write(tmp_path, {"pyproject.toml": "", "nb.ipynb": notebook("# title", IMPORTS, STEPS, REPORT, FLOW)})
    return tmp_path


def test_places_are_told_by_cell(project: Path) -> None:
    assert run(project, "--no-cache").lines == [f"nb.ipynb:cell 4:2:12: {MESSAGE}", f"nb.ipynb:cell 5:3:19: {INPUT}"]
    for _ in range(2):
        assert run(project).lines[0] == f"nb.ipynb:cell 4:2:12: {MESSAGE}"
    assert run(project, "nb.ipynb").lines[0] == f"nb.ipynb:cell 4:2:12: {MESSAGE}"


def test_every_format_tells_the_cell(project: Path) -> None:
    full = run(project, "--format", "full", "--select", "BTN102").output.splitlines()
    assert full[1:5] == [
        " --> nb.ipynb:cell 4:2:12",
        "  |",
        "2 | def report(order: list[int]) -> int:",
        "  |            ^^^^^^^^^^^^^^^^",
    ]
    (item,) = json.loads(run(project, "--format", "json", "--select", "BTN102").output)
    assert (item["path"], item["cell"], item["line"], item["column"]) == ("nb.ipynb", 4, 2, 12)
    github = run(project, "--format", "github", "--select", "BTN102").output
    assert github == (
        "::error file=nb.ipynb,line=1,col=1,endLine=1,endColumn=1,title=BTN102 baton-missing-upstream::"
        f"cell 4:2:12: {MESSAGE.removeprefix('BTN102: ')}\n"
    )
    sarif = json.loads(run(project, "--format", "sarif", "--select", "BTN102").output)
    schema = json.loads((Path(__file__).parent / "sarif-2.1.0.json").read_text())
    Draft7Validator(schema).validate(sarif)
    assert sarif["runs"][0]["results"][0]["message"]["text"].startswith("cell 4:2:12: step")


def test_notebooks_are_not_mended_and_that_is_told(project: Path) -> None:
    before = (project / "nb.ipynb").read_bytes()
    for option in ("--fix", "--diff", "--unsafe-fixes"):
        outcome = run(project, "--no-cache", option)
        assert "nb.ipynb: left alone: notebooks are not fixed\n" in outcome.errors
        assert (project / "nb.ipynb").read_bytes() == before
    assert "--fix mends" not in run(project).errors


def test_comments_hold_for_their_line_of_a_cell(project: Path) -> None:
    report = REPORT.replace("-> int:", "-> int:  # baton: ignore[BTN102]")
    write(project, {"nb.ipynb": notebook("# title", IMPORTS, STEPS, report, "# baton: ignore[BTN101]\n" + FLOW)})
    assert lint(project)[0].split(" ")[:2] == ["nb.ipynb:cell", "5:1:17:"]
    assert "BTN102" not in run(project).output


def test_a_notebook_sees_the_modules_beside_it_and_is_none_itself(tmp_path: Path) -> None:
    write(tmp_path, {"pyproject.toml": "", "steps.py": "from baton_dsl import step\n" + STEPS})
    write(tmp_path, {"nb.ipynb": notebook("from baton_dsl import Flow, step\nfrom steps import orders", REPORT, FLOW)})
    write(tmp_path, {"other.ipynb": notebook("from baton_dsl import Flow\nfrom nb import x\nFlow('o', x)", "")})
    assert lint(tmp_path, "--select", "BTN102") == [f"nb.ipynb:cell 2:2:12: {MESSAGE}"]
    assert "other.ipynb:cell 1:" in run(tmp_path, "--strict", "--select", "BTN903").output


def test_two_notebooks_of_one_folder_are_two_programs(tmp_path: Path) -> None:
    text = notebook(IMPORTS, STEPS, "shop = Flow('shop', orders)")
    write(tmp_path, {"pyproject.toml": "", "one.ipynb": text, "two.ipynb": text})
    assert lint(tmp_path) == []


def test_the_text_of_a_notebook_may_come_from_an_editor(project: Path) -> None:
    text = notebook(IMPORTS, STEPS, REPORT, FLOW).encode()
    outcome = run(project, "-", "--stdin-filename", "nb.ipynb", "--select", "BTN102", stdin=text)
    assert outcome.lines == [f"nb.ipynb:cell 3:2:12: {MESSAGE}"]


BAD = {
    "no JSON": ("baton_dsl {", "nb.ipynb:1:1: BTN902: can't be parsed: it is not a notebook: Expecting value"),
    "no notebook": ('["baton_dsl"]', "nb.ipynb:1:1: BTN902: can't be parsed: it is not a notebook of format 4"),
    "an old format": (
        '{"worksheets": ["baton_dsl"]}',
        "nb.ipynb:1:1: BTN902: can't be parsed: it is not a notebook of fo",
    ),
    "nested without end": (
        "[" * 100_000 + "'baton_dsl'",
        "nb.ipynb:1:1: BTN902: can't be parsed: it is not a notebook: nested too deeply",
    ),
    "a cell that is no Python": (
        notebook("import baton_dsl", "x = 1\ndef f(:\n"),
        "nb.ipynb:cell 2:2:7: BTN902: can't be parsed: invalid syntax",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_notebook_is_told_and_the_others_are_checked(name: str, tmp_path: Path) -> None:
    text, expected = BAD[name]
    write(tmp_path, {"pyproject.toml": "", "nb.ipynb": text, "good.py": "from baton_dsl import Flow\n"})
    (line,) = lint(tmp_path)
    assert line.startswith(expected)


ODD = (
    '{"cells": [{"cell_type": "code"}, 3, null, {"cell_type": "code", "source": 7}, {"cell_type": "code", "source": '
    '["x = 1\\n", 3, "import baton_dsl"]}], "metadata": {"kernelspec": 3, "language_info": {"name": 4}}}'
)


def test_odd_cells_are_passed_over_and_other_languages_are_none_of_ours(tmp_path: Path) -> None:
    write(tmp_path, {"pyproject.toml": "", "odd.ipynb": ODD})
    write(tmp_path, {"r.ipynb": notebook("library(baton_dsl) <- {", kernelspec={"language": "R"})})
    assert run(tmp_path, "--no-cache").lines == []


def test_bytes_that_are_a_module_and_a_notebook_are_kept_apart(tmp_path: Path) -> None:
    text = notebook("from baton_dsl import Flow", "x = = 1").replace("null", '""')
    write(tmp_path, {"pyproject.toml": "", "a.py": text, "b.ipynb": text, "c.py": text})
    for _ in range(3):
        assert [line.partition(":")[0] for line in run(tmp_path).lines] == ["b.ipynb"]


@pytest.mark.parametrize(
    ("cell", "python"),
    [
        ("x = 1", "x = 1"),
        ("%matplotlib inline\nx = 1", "pass\nx = 1"),
        ("!ls \\\n  -l\nx = 1", "pass\n\nx = 1"),
        ("files = !ls\n", "files = get_ipython()\n"),
        ("t = %timeit -o f()", "t = get_ipython()"),
        ("x?\nf.g??\n?x", "pass\npass\npass"),
        ("if x:\n    !ls\n    %time f()", "if x:\n    pass\n    pass"),
        ("%%time\nx = 1", "\nx = 1"),
        ("%%bash\nls\nx = 1", "\n\n"),
        ("%%writefile x.py\nimport y", "\n"),
        ("%%time", ""),
        ("x = (1\n% 2)\n!ls", "x = (1\n% 2)\npass"),
        ('x = """\n!ls\n"""\n!ls', 'x = """\n!ls\n"""\npass'),
        ("x = 'a # b' + (\n'%s'\n% 1)\n%time", "x = 'a # b' + (\n'%s'\n% 1)\npass"),
        ("x = 1 \\\n% 2\n%time", "x = 1 \\\n% 2\npass"),
        ("# it's\n!ls", "# it's\npass"),
        ("x = 'it\\'s'\n!ls", "x = 'it\\'s'\npass"),
        ("a = b % c\n!ls", "a = b % c\npass"),
        ("a %= c\n!ls", "a %= c\npass"),
        ("/f x\n,f x\n;f x", "pass\npass\npass"),
    ],
)
def test_what_only_ipython_reads_does_nothing_and_every_line_stays(cell: str, python: str) -> None:
    assert python_of(cell) == python
    assert python.count("\n") == cell.count("\n")
