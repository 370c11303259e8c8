"""Every Python block and every console session of the documentation, run as a reader would run it.

A Python block that begins with a file name (`# shop.py`) is that file; any other is a whole script, which runs in the
page's folder, with nothing but the files before it. `embedded.start()` in it gives the page's database. A console block
shows what a terminal shows; times and ids are compared as such.
"""

import atexit
import contextlib
import os
import re
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from textwrap import dedent
from urllib.parse import urlencode

import pytest
from psycopg.conninfo import conninfo_to_dict

from baton_dsl.runtime import embedded
from tests.docs import console

ROOT = Path(__file__).parents[2]
EXAMPLES = [ROOT / "examples" / name / "README.md" for name in ("package_audit", "research_brief")]
PAGES = [ROOT / "README.md", *EXAMPLES, *sorted((ROOT / "docs").rglob("*.md"))]

_FENCE = re.compile(r"^(?P<indent> *)```(?P<language>\w*)\n(?P<text>.*?)^(?P=indent)```$", re.MULTILINE | re.DOTALL)
_FILE = re.compile(r"# ([\w/]+\.py)\n")
_VARIABLE = (
    (re.compile(r"\b(\d+ min )?\d[\d.,]* (ms|s|MB|kB)\b|(?<= in )\d+\.\d+s"), "AMOUNT"),
    (re.compile(r"\b(PostgreSQL|oban) \d+\.[\d.]*\d\b"), r"\1 VERSION"),
    (re.compile(r"\b[0-9a-f]{8}-[0-9a-f]{4}(-[0-9a-f]{1,12})*\b"), "ID"),
)


@dataclass(frozen=True)
class Block:
    language: str
    text: str
    line: int


def blocks_of(page: Path) -> list[Block]:
    text = page.read_text(encoding="utf-8")
    found = _FENCE.finditer(text)
    return [Block(it["language"], dedent(it["text"]), text[: it.start()].count("\n") + 2) for it in found]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_code_block_works(
    page: Path, served_folder: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    blocks = [block for block in blocks_of(page) if block.language in ("python", "console")]
    if not blocks:
        return
    folder = served_folder / "shop"
    folder.mkdir()
    if page.parent.parent == ROOT / "examples":  # its page is read in its folder
        shutil.copytree(page.parent, folder, dirs_exist_ok=True)
    monkeypatch.chdir(folder)
    monkeypatch.syspath_prepend(str(folder))
    for name in ("BATON_DSN", "OBAN_DSN", "OBAN_PREFIX"):
        monkeypatch.delenv(name, raising=False)
    with contextlib.ExitStack() as stack:
        if any(re.search(r"^\$ baton (run|check-deploy) ", block.text, re.MULTILINE) for block in blocks):
            # on the embedded server of the folder, which each command would start anew
            request.getfixturevalue("prepare_server")(folder / ".baton" / "postgres")
            stack.enter_context(embedded.serve(folder / ".baton" / "postgres"))
            monkeypatch.setattr(atexit, "register", stack.callback)
        else:
            monkeypatch.setattr(embedded, "start", lambda: as_url(request.getfixturevalue("dsn")))
        stack.enter_context(forgetting_modules_of(folder))
        for block in blocks:
            match block.language:
                case "console":
                    run_console(block, folder)
                case _:
                    run_python(block, page, folder)


def as_url(dsn: str) -> str:
    """A connection string in the form that SQLAlchemy takes too."""
    parts = conninfo_to_dict(dsn)
    user, database = parts.pop("user"), parts.pop("dbname")
    return f"postgresql://{user}@/{database}?{urlencode(parts)}"


def run_python(block: Block, page: Path, folder: Path) -> None:
    if file := _FILE.match(block.text):
        path = folder / file[1]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(block.text, encoding="utf-8")
        return
    source = "\n" * (block.line - 1) + block.text
    exec(compile(source, str(page), "exec"), {"__name__": "__main__"})


def run_console(block: Block, folder: Path) -> None:
    environment = os.environ | {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "PYTHONUTF8": "1",
        "TERM": "xterm-256color",
        "COLUMNS": "100",
        "LINES": "40",
        "PYTEST_ADDOPTS": "-p no:asyncio -p no:cacheprovider",
    }
    for session in re.split(r"^\$ ", block.text, flags=re.MULTILINE)[1:]:
        command, _, expected = session.partition("\n")
        shown = "\n".join(console.run(command, folder, environment))
        assert settled(shown.replace(str(folder), "~/shop")) == settled(expected), f"line {block.line}: $ {command}"


def settled(text: str) -> list[str]:
    """The lines without parts that differ from run to run, and without blank lines at the end."""
    for pattern, word in _VARIABLE:
        text = pattern.sub(word, text)
    return [line.rstrip() for line in text.strip("\n").split("\n")]


@contextlib.contextmanager
def forgetting_modules_of(folder: Path) -> Iterator[None]:
    try:
        yield
    finally:
        for name, module in list(sys.modules.items()):
            if (getattr(module, "__file__", None) or "").startswith(str(folder)):
                del sys.modules[name]
