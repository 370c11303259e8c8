"""With any cache, mypy reports what it reports without one."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import baton_mypy
import pytest
from baton_mypy.fingerprint import fingerprint, sources
from mypy.version import __version__
from mypy_projects import Prepared, Project

MODELS = """\
from dataclasses import dataclass
from typing import Annotated

from baton_dsl import From, Input
from pydantic import PlainSerializer

type Key = Input[str]
type Counted = Annotated[int, From("count")]
OldCounted = Annotated[int, From("count")]

@dataclass
class Base: ...

class Token(Base):
    def __init__(self, value: str) -> None:
        self.value = value

class Plain: ...

type Stored = Annotated[Plain, PlainSerializer(str)]
OldStored = Annotated[Plain, PlainSerializer(str)]
"""
STEPS = """\
from baton_dsl import Each, From, Input, Skip, step
from models import Base, Counted, Key, OldCounted, OldStored, Stored, Token

@step
def token(key: Key, size: Input[int] = 1) -> Token:
    return Token(key)

@step
def base(token: Token) -> Base | None:
    return None

@step(after=("token",))
def cleanup(source: Token = From(token)) -> None: ...

@step
def count() -> int:
    return 1

@step
def note(count: int | None) -> None: ...

@step
def counted(number: Counted, again: OldCounted, price: Input[OldStored]) -> Stored:
    return price
"""
FLOW = """\
from baton_dsl import Flow, step
from models import Base, Token
from steps import base, cleanup, count, counted, note, token

@step
def report(token: Token, base: Base | None) -> list[str]:
    return [token.value]

@step
def audit(token: Base) -> None: ...

billing = Flow("billing", token, base, cleanup, report, audit)
notes = Flow("notes", count, note)
aliases = Flow("aliases", count, counted)
"""
USE = """\
from flow import billing, notes, report

small = billing.bind(size=1)
lenient = notes.options(ignore_discarded=True)

async def main() -> list[str]:
    workflow = await small.insert(key="x")
    await small.insert(key="x", size=2)
    await workflow.result("cleanup")
    return await workflow.result(report)
"""
BASE = {"models.py": MODELS, "steps.py": STEPS, "flow.py": FLOW, "use.py": USE}

ALIAS = "an alias stops being an input"
MYPY = tuple(map(int, __version__.split(".")[:2]))
EDITS: dict[str, Callable[[Mapping[str, str]], dict[str, str]]] = {}


def edit(name: str, file: str, old: str, new: str) -> None:
    assert old in BASE[file], (name, old)
    EDITS[name] = lambda files: {file: files[file].replace(old, new)}


edit("the result of an upstream changes", "steps.py", "Base | None:\n    return None", "int:\n    return 1")
edit("a step is mapped", "steps.py", "def base(token: Token)", "def base(token: Token, seed: Each[Input[int]])")
edit("a step may skip", "steps.py", "Base | None:\n    return None", "int | Skip:\n    return Skip()")
edit("a parameter is renamed", "steps.py", "def base(token: Token)", "def base(tokens: Token)")
edit("an after is misspelt", "steps.py", 'after=("token",)', 'after=("tokn",)')
edit("a step is renamed by its option", "steps.py", 'after=("token",)', 'after=("token",), name="sweep"')
edit("a From names another step", "steps.py", "= From(token)", "= From(base)")
edit("an upstream may be absent", "steps.py", 'after=("token",)', 'after=("token",), ignore_discarded=True')
edit("an option is out of range", "steps.py", 'after=("token",)', 'after=("token",), priority=12')
edit("an input is renamed", "steps.py", "size: Input[int]", "length: Input[int]")
edit("an input changes its type", "steps.py", "size: Input[int] = 1", 'size: Input[str] = ""')
edit("what is bound changes its name", "use.py", "bind(size=1)", "bind(sizes=1)")
edit("what is bound changes", "use.py", "bind(size=1)", 'bind(size="1")')
edit("a parameter stops accepting None", "steps.py", "count: int | None", "count: int")
edit("a flow gets other options", "flow.py", '"notes", count, note', '"notes", count, note, prefix=""')
edit("a step leaves the flow", "flow.py", "base, cleanup, report", "base, report")
edit(ALIAS, "models.py", "type Key = Input[str]", "type Key = str")
for kind, counted, stored in (("", "type Counted", "type Stored"), ("old ", "OldCounted", "OldStored")):
    written = f'{counted} = Annotated[int, From("count")]'
    edit(f"an {kind}alias names another step", "models.py", written, written.replace("count", "cuont"))
    edit(f"an {kind}alias stops naming a step", "models.py", written, f"{counted} = int")
    written = f"{stored} = Annotated[Plain, PlainSerializer(str)]"
    edit(f"an {kind}alias stops storing its type", "models.py", written, f"{stored} = Plain")
edit("a class stops being a dataclass", "models.py", "@dataclass\nclass Base", "class Base")
edit("a class changes its base", "models.py", "class Token(Base)", "class Token")
edit("a cycle closes", "steps.py", "def token(key: Key,", "def token(base: None, key: Key,")


@pytest.fixture(scope="module")
def cold(tmp_path_factory: pytest.TempPathFactory, prepared: Prepared) -> dict[str, str]:
    """What a run that remembers only the libraries says after each edit."""
    said: dict[str, str] = {}
    for name in ("", *EDITS):
        project = prepared.project(tmp_path_factory.mktemp("cold"))
        project.write(BASE)
        project.write(EDITS[name](BASE) if name else {})
        said[name] = project.check()
    return said


def test_each_edit_is_an_error_that_was_not_there(cold: dict[str, str]) -> None:
    assert cold[""] == ""
    assert [name for name in EDITS if "error:" not in cold[name]] == []


def states() -> Iterator[tuple[str, dict[str, str]]]:
    """Each edit, and back."""
    for name, change in EDITS.items():
        yield name, change(BASE)
        yield "", {file: BASE[file] for file in change(BASE)}


def said(project: Project, check: Callable[[], str]) -> dict[str, str]:
    """What a mode says after each edit; of the way back, whatever is not silence."""
    project.write(BASE)
    found = {"": check()}
    for name, files in states():
        project.write(files)
        found[name] = found[name] + check() if name == "" else check()
    return found


def test_a_warm_run_says_what_a_cold_one_says(project: Project, cold: dict[str, str]) -> None:
    assert said(project, project.check) == cold


def test_a_daemon_says_what_a_cold_run_says(project: Project, cold: dict[str, str]) -> None:
    project.write(BASE)
    project.check("--cache-fine-grained", cache="fine")
    found = said(project, project.daemon(cache="fine").check)
    if MYPY < (2, 4):  # its daemon loses the parameters of a step whose alias changed: the flow is left alone
        assert found.pop(ALIAS) == ""
        cold = {name: output for name, output in cold.items() if name != ALIAS}
    assert found == cold


BRANCH = """\
import sys

from baton_dsl import Flow, step

if sys.argv:

    @step
    def one() -> None: ...
else:

    @step
    def one() -> None: ...


@step
def two(one: None, three: int) -> None: ...


flow = Flow("f", one, two)
"""
ALONE = BRANCH[: BRANCH.index("if ")] + BRANCH[BRANCH.index("@step\ndef two") :].replace("one: None, ", "").replace(
    "one, two", "two"
)
GROWING = f"{ALONE}\n\n@step\ndef four() -> int:\n    return 4\n\n\nflow.add('three', four)\n"


def test_a_daemon_sees_branches_and_adds_that_come_and_go_in_one_module(project: Project) -> None:
    project.write({"alone.py": ALONE})
    check = project.daemon().check
    complaint = check()
    assert "[baton-missing-upstream]" in complaint
    for source, expected in ((BRANCH, ""), (ALONE, complaint), (GROWING, ""), (ALONE, complaint)):
        project.write({"alone.py": source})
        assert check() == expected


@pytest.mark.slow
@pytest.mark.parametrize(
    "flags",
    [["--no-fixed-format-cache"], ["--no-sqlite-cache"], ["--no-native-parser"], ["--num-workers=2"]],
    ids=["json cache", "a file a module", "old parser", "two workers"],
)
def test_other_ways_to_run_say_the_same(flags: list[str], project: Project, cold: dict[str, str]) -> None:
    some = ["an after is misspelt", "an input is renamed", "a From names another step", "an alias names another step"]
    some += ["an old alias stops storing its type"]
    project.write(BASE)
    assert project.check(*flags) == cold[""]
    for name in some:
        files = EDITS[name](BASE)
        project.write(files)
        assert project.check(*flags) == cold[name]
        project.write({file: BASE[file] for file in files})
        assert project.check(*flags) == cold[""]


def test_an_unchanged_module_is_not_checked_again(project: Project) -> None:
    project.write(BASE)
    project.check()
    log = project.check("--verbose")
    assert [line for line in log.splitlines() if "Parsing" in line] == []


def test_a_change_of_the_chosen_rules_checks_again(project: Project) -> None:
    project.write(BASE)
    project.write(EDITS["an after is misspelt"](BASE))
    assert "[baton-missing-upstream]" in project.check()
    (project.folder / "pyproject.toml").write_text('[tool.baton]\nignore = ["BTN102"]\n', encoding="utf-8")
    assert project.check() == ""


def test_a_change_of_a_rule_changes_the_version_that_mypy_sees(tmp_path: Path) -> None:
    rule = tmp_path / "rule.py"
    rule.write_text("one = 1\n", encoding="utf-8")
    before = fingerprint([rule])
    rule.write_text("one = 2\n", encoding="utf-8")
    assert fingerprint([rule]) != before
    files = {path.name for path in sources()}
    assert {"cycle.py", "check.py", "graph.py", "hooks.py", "report.py"} <= files
    assert baton_mypy.__version__ == fingerprint(sources())
