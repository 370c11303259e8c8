"""No file makes baton-lint crash, and no file is ever executed."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from baton_lint.source.extracting import extract
from hypothesis import given, settings
from hypothesis import strategies as st

from baton_dsl.core.rules import CATALOGUE
from tests.lint.support import lint, run, write

GOOD = "from baton_dsl import Flow, step\n\n@step\ndef a(b: int) -> int:\n    return b\n\nflow = Flow('f', a)\n"
FOUND = 'good.py:4:7: BTN102: step "a" has no upstream or input called "b"'

BAD: dict[str, tuple[bytes, str | None]] = {
    "a syntax error": (b"from baton_dsl import step\ndef f(:\n", "BTN902: can't be parsed"),
    "a newer Python": (b"import baton_dsl\nx = y ?? z\n", "BTN902: can't be parsed"),
    "null bytes": (b"import baton_dsl\n\0\n", "BTN902: can't be parsed: source code can't contain null bytes"),
    "no UTF-8": (b"import baton_dsl\nx = '\xff'\n", "BTN902: can't be parsed: it is not utf-8"),
    "an unknown encoding": (
        b"# coding: klingon\nimport baton_dsl\n",
        "BTN902: can't be parsed: unknown encoding klingon",
    ),
    "a codec of bytes": (b"# coding: base64\nimport baton_dsl\n", "BTN902: can't be parsed"),
    "a mark and another encoding": (b"\xef\xbb\xbf# coding: latin-1\nimport baton_dsl\n", "BTN902: can't be parsed"),
    "a mark": (b"\xef\xbb\xbfimport baton_dsl\n", None),
    "nested brackets": (b"import baton_dsl\nx = " + b"[" * 10_000 + b"]" * 10_000 + b"\n", "BTN902: can't be parsed"),
    "nested operators": (b"import baton_dsl\nx = " + b"1 + " * 1_000 + b"1\n", None),
    "a chain of calls": (
        b"from baton_dsl import Flow\nf = Flow('f')" + b"".join(b".add('a%d', b)" % n for n in range(500)) + b"\n",
        None,
    ),
    "a chain of elifs": (b"import baton_dsl\nif 1: pass\n" + b"elif 1: pass\n" * 900, None),
    "a chain of names": (
        b"from baton_dsl import Flow\n"
        + b"".join(b"a%d = a%d\n" % (n, n + 1) for n in range(5_000))
        + b"Flow('f', a0)\n",
        None,
    ),
    "many lines": (b"import baton_dsl\n" + b"x = 1\n" * 50_000, None),
    "carriage returns": (b"import baton_dsl\rx = 1\r", None),
    "only a mark": (b"\xef\xbb\xbf", None),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_file_is_told_and_the_others_are_checked(name: str, tmp_path: Path) -> None:
    data, expected = BAD[name]
    write(tmp_path, {"pyproject.toml": "", "good.py": GOOD})
    (tmp_path / "bad.py").write_bytes(data)
    outcome = run(tmp_path, "--no-cache")
    told = [line for line in outcome.lines if line.startswith("bad.py")]
    assert FOUND in outcome.lines
    assert len(told) == (0 if expected is None else 1)
    assert expected is None or expected in told[0]


def test_links_in_a_circle_end(tmp_path: Path) -> None:
    write(tmp_path, {"pyproject.toml": "", "a/good.py": GOOD})
    (tmp_path / "a" / "loop").symlink_to(tmp_path)
    (tmp_path / "self.py").symlink_to(tmp_path / "self.py")
    (tmp_path / "gone.py").symlink_to(tmp_path / "nowhere.py")
    assert lint(tmp_path) == [f"a/{FOUND}"]


def test_circular_imports_end(tmp_path: Path) -> None:
    write(
        tmp_path,
        {
            "pyproject.toml": "",
            "one.py": "from baton_dsl import Flow\nfrom two import *\nfrom two import x\nFlow('f', x, y)\n",
            "two.py": "from one import *\nfrom one import x\n",
            "three.py": "from baton_dsl import step\nclass A(B): ...\nclass B(A): ...\ntype T = T | list[T]\n"
            "@step\ndef f(a: A, t: T) -> B: ...\n",
        },
    )
    assert run(tmp_path, "--no-cache").status == 0


def test_a_folder_named_like_a_file_is_none(tmp_path: Path) -> None:
    write(tmp_path, {"pyproject.toml": "", "good.py": GOOD, "folder.py/good.py": GOOD})
    assert FOUND in lint(tmp_path)


def test_a_file_that_cannot_be_read_is_two_and_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, {"pyproject.toml": "", "good.py": GOOD, "secret.py": GOOD, "gone.py": GOOD})
    really = os.open

    def refuse(path: str, *arguments: int) -> int:
        if str(path).endswith("secret.py"):
            raise PermissionError(13, "Permission denied")
        if str(path).endswith("gone.py"):
            raise FileNotFoundError(2, "No such file or directory")
        return really(path, *arguments)

    monkeypatch.setattr(os, "open", refuse)
    outcome = run(tmp_path)
    assert outcome.status == 2
    assert outcome.lines == [FOUND]
    assert f"{tmp_path}/secret.py: can't be read: Permission denied" in outcome.errors


SHARDS = (
    *(
        "from baton_dsl import Flow, step, Input, From\n",
        "@step\n",
        "def f(a: int, *b, c: Input[str] = 1) -> int:\n",
        "    ",
    ),
    *(
        "return a\n",
        "Flow('x', f)",
        ".add('y', f, deps=['z'])",
        ".insert(a=1)",
        "*",
        "(",
        ")",
        "[",
        "]",
        ":",
        "\n",
        "=",
        "'",
    ),
    *(
        "class A[T](list[T]): pass\n",
        "type X[T] = X[T]\n",
        "lambda: ",
        "if 1:\n",
        "for f in f:\n",
        "global f\n",
        "é",
        "\\",
    ),
    *(
        "# baton: ignore[BTN101]\n",
        "with f as f:\n",
        "f'{f!r}'",
        "async ",
        "await ",
        "match f:\n",
        "case f: pass\n",
        "del f\n",
    ),
)


@given(st.lists(st.sampled_from(SHARDS), max_size=30).map("".join))
@settings(max_examples=400, deadline=None)
def test_no_text_crashes_it(text: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "x.py"
        path.write_text(f"# baton_dsl\n{text}", encoding="utf-8")
        outcome = run(Path(folder), "--no-cache", "--strict", "--extend-select", "ALL", "--format", "full", "--diff")
    assert outcome.status in (0, 1)


@given(st.binary(max_size=200))
@settings(max_examples=300, deadline=None)
def test_no_bytes_crash_the_reader(data: bytes) -> None:
    assert "error" in extract(b"# baton_dsl\n" + data)


def test_no_code_is_executed(tmp_path: Path) -> None:
    poison = "raise SystemExit('executed')\n" + GOOD
    files = dict.fromkeys(
        ("good.py", "conftest.py", "setup.py", "sitecustomize.py", "app/__init__.py", "app/x.py"), poison
    )
    files |= dict.fromkeys(("ast.py", "marshal.py", "tomllib.py", "libcst.py"), "raise SystemExit('executed')\n")
    write(tmp_path, {"pyproject.toml": "[tool.baton]\n", **files})
    script = f"import sys\nfrom baton_lint.cli import main\nsys.exit(main(['--fix', {str(tmp_path)!r}]))"
    process = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False, cwd="/")
    assert process.returncode == 1
    assert "executed" not in process.stderr
    assert "good.py:5:7: BTN102" in process.stdout


def test_every_code_of_the_tool_is_in_the_catalogue() -> None:
    assert {"BTN901", "BTN902", "BTN903"} <= set(CATALOGUE)
