"""Whatever happened between two runs, a run with a cache reports what a run without one reports."""

import os
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from tests.lint.support import run, write

GOOD = "from baton_dsl import Flow, step\n\n@step\ndef a() -> int:\n    return 1\n\nflow = Flow('{name}', a)\n"
BAD = GOOD.replace("def a()", "def a(x: int)")
PLAIN = "def plain():\n    return 1\n"
USER = "from one import flow\n\nasync def main():\n    await flow.insert(nothing=1)\n"
EXPORT = "from baton_dsl import Flow, step\n"
REEXPORTED = GOOD.replace("from baton_dsl", "from dsl").replace("def a()", "def a(y: int)")
BROKEN = "from baton_dsl import (\n"
NAMES = ("one", "two", "three", "dsl")
CONTENTS = (GOOD, BAD, PLAIN, USER, EXPORT, REEXPORTED, BROKEN, "")


class Edits(RuleBasedStateMachine):
    """Edits, renames, deletions, changed settings: in any order."""

    @initialize()
    def begin(self) -> None:
        import tempfile

        self.folder = Path(tempfile.mkdtemp())
        write(self.folder, {"pyproject.toml": "", "sub/__init__.py": ""})

    @rule(name=st.sampled_from(NAMES), content=st.sampled_from(CONTENTS))
    def write_a_file(self, name: str, content: str) -> None:
        write(self.folder, {f"{name}.py": content.replace("{name}", name)})

    @rule(name=st.sampled_from(NAMES))
    def edit_without_a_trace_in_size_or_time(self, name: str) -> None:
        path = self.folder / f"{name}.py"
        if path.exists():
            status = path.stat()
            text = path.read_text()
            path.write_text(text.replace("def a(", "def b(").replace(", a)", ", b)") if "def a(" in text else text)
            os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))

    @rule(name=st.sampled_from(NAMES), to=st.sampled_from(NAMES))
    def rename_a_file(self, name: str, to: str) -> None:
        path = self.folder / f"{name}.py"
        if path.exists():
            path.rename(self.folder / f"{to}.py")

    @rule(name=st.sampled_from(NAMES))
    def delete_a_file(self, name: str) -> None:
        (self.folder / f"{name}.py").unlink(missing_ok=True)

    @rule(text=st.sampled_from(["", '[tool.baton]\nexclude = ["one.py"]', '[tool.baton]\nignore = ["BTN102"]']))
    def change_the_configuration(self, text: str) -> None:
        write(self.folder, {"pyproject.toml": text})

    @rule()
    def damage_the_cache(self) -> None:
        for path in (self.folder / ".baton_cache").glob("*"):
            path.write_bytes(path.read_bytes()[:-7] + b"garbage")

    @precondition(lambda self: hasattr(self, "folder"))
    @invariant()
    def a_cache_changes_nothing(self) -> None:
        fresh = run(self.folder, "--no-cache", "--strict")
        assert run(self.folder, "--strict") == fresh
        assert run(self.folder, "--strict") == fresh


TestEdits = Edits.TestCase
TestEdits.settings = settings(max_examples=25, stateful_step_count=12, deadline=None)


def test_a_module_outside_that_appears_is_seen(tmp_path: Path) -> None:
    source = "from baton_dsl import Flow\nfrom shared.steps import a\n\nflow = Flow('f', a)\n"
    write(tmp_path, {"pyproject.toml": "", "app/flows.py": source, "shared/__init__.py": ""})
    assert "open: " in run(tmp_path, "app", "--strict").output
    write(tmp_path, {"shared/steps.py": BAD})
    assert run(tmp_path, "app", "--strict") == run(tmp_path, "app", "--strict", "--no-cache")
    assert 'called "x"' in run(tmp_path, "app").output


def test_another_version_of_ourselves_begins_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from baton_dsl import version

    write(tmp_path, {"pyproject.toml": "", "one.py": BAD})
    found = run(tmp_path)
    write(tmp_path, {"one.py": BAD})
    for cached in (tmp_path / ".baton_cache").glob("[0-9a-f]*"):
        data = cached.read_bytes()
        monkeypatch.setattr(version, "__version__", "99.0")
        assert run(tmp_path) == found
        assert cached.read_bytes() != data


def test_the_cache_keeps_itself_out_of_version_control(tmp_path: Path) -> None:
    write(tmp_path, {"pyproject.toml": "", "one.py": GOOD})
    run(tmp_path)
    assert (tmp_path / ".baton_cache" / ".gitignore").read_text() == "*\n"


def test_a_folder_that_cannot_be_written_is_no_error(tmp_path: Path) -> None:
    write(tmp_path, {"pyproject.toml": "", "one.py": GOOD, "occupied": "a file where the cache would be"})
    assert run(tmp_path, "--cache-dir", "occupied").status == 0
