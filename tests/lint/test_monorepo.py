"""Several projects in one tree: each file uses the nearest pyproject.toml with a `[tool.baton]` table."""

from pathlib import Path

import pytest

from tests.lint.support import lint, run, write

WRONG = "from baton_dsl import Flow, step\n\n@step\ndef a(b: int) -> int:\n    return 1\n\nflow = Flow('{}', a)\n"
FOUND = "4:7: BTN102"
UNREAD = "4:5: BTN104"


def codes(folder: Path, *arguments: str) -> list[str]:
    return [line.split(": ")[0] + ": " + line.split(": ")[1] for line in lint(folder, *arguments)]


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    write(
        tmp_path,
        {
            "pyproject.toml": "[tool.baton]\nselect = ['BTN102']\n",
            "top.py": WRONG.format("top"),
            "one/pyproject.toml": "[tool.baton]\nignore = ['BTN102']\nexclude = ['old']\n",
            "one/flows.py": WRONG.format("one"),
            "one/old/flows.py": WRONG.format("old"),
            "two/pyproject.toml": "[project]\nname = 'two'\n",
            "two/flows.py": WRONG.format("two"),
            "two/deep/er/flows.py": WRONG.format("deeper"),
        },
    )
    return tmp_path


def test_the_nearest_table_counts_and_nothing_is_inherited(tree: Path) -> None:
    expected = [f"top.py:{FOUND}", f"two/deep/er/flows.py:{FOUND}", f"two/flows.py:{FOUND}"]
    assert codes(tree) == expected
    write(tree, {"one/pyproject.toml": "[tool.baton]\n"})
    assert f"one/flows.py:{FOUND}" in codes(tree)
    assert f"one/old/flows.py:{FOUND}" in codes(tree)
    write(tree, {"one/pyproject.toml": "[tool.baton.per-file-ignores]\n'flows.py' = ['BTN1']\n"})
    assert [line for line in codes(tree) if line.startswith("one")] == []


def test_it_is_the_same_from_every_folder(tree: Path) -> None:
    assert codes(tree / "one") == []
    assert codes(tree / "two") == [f"deep/er/flows.py:{FOUND}", f"flows.py:{FOUND}"]
    assert codes(tree / "two" / "deep") == [f"er/flows.py:{FOUND}"]
    assert codes(tree, "one") == []
    assert codes(tree, "two/flows.py", "one/flows.py") == [f"two/flows.py:{FOUND}"]


def test_a_wrong_table_is_told_with_its_file_and_the_others_count(tree: Path) -> None:
    write(tree, {"one/pyproject.toml": "[tool.baton]\nselct = []\nignore = ['BTN102']\n"})
    outcome = run(tree, "--no-cache")
    assert outcome.status == 2
    assert f'{tree}/one/pyproject.toml: [tool.baton] has no key "selct"' in outcome.errors
    assert len(outcome.lines) == 3


def test_a_cache_sees_a_nested_configuration_change(tree: Path) -> None:
    for text in ("[tool.baton]\n", "[tool.baton]\nignore = ['BTN102']\n", "", "[tool.baton]\nexclude = ['*']\n"):
        write(tree, {"one/pyproject.toml": text})
        for _ in range(2):
            assert run(tree).lines == lint(tree)


def test_imports_start_at_the_project_that_a_file_is_of(tmp_path: Path) -> None:
    steps = "from baton_dsl import step\n\n@step\ndef orders() -> int:\n    return 1\n"
    flows = (
        "from baton_dsl import Flow, step\nfrom {} import orders\n\n"
        "@step\ndef report(order: int) -> int:\n    return order\n\nFlow('{}', orders, report)\n"
    )
    write(tmp_path, {"pyproject.toml": "[tool.baton]\n"})
    for name in ("one", "two"):
        write(
            tmp_path,
            {
                f"{name}/pyproject.toml": "[tool.baton]\nsrc = ['lib']\n",
                f"{name}/src/steps_{name}.py": steps,
                f"{name}/lib/common.py": steps.replace("orders", "orders_" + name),
                f"{name}/tests/test_one.py": flows.format(f"steps_{name}", name),
                f"{name}/tests/test_two.py": flows.format("common", name + "2").replace("orders", "orders_" + name),
            },
        )
    found = lint(tmp_path, "--select", "BTN102,BTN903", "--strict")
    assert [line.split(";")[-1] for line in found] == [
        ' did you mean "orders"?',
        ' did you mean "orders_one"?',
        ' did you mean "orders"?',
        ' did you mean "orders_two"?',
    ]
    write(tmp_path, {"one/pyproject.toml": ""})
    run(tmp_path, "--strict")
    assert "open: " in run(tmp_path, "--strict").output
