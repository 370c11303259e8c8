"""Text that is not saved: on the standard input, and in the buffers of a session."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from baton_lint.session import Session

from tests.lint.support import run, write

STEPS = "from baton_dsl import step\n\n@step\ndef orders() -> list[int]:\n    return [1]\n"
FLOWS = (
    "from baton_dsl import Flow, step\nfrom steps import orders\n\n"
    "@step\ndef report(order: list[int]) -> int:\n    return len(order)\n\nshop = Flow('shop', orders, report)\n"
)
RIGHT = FLOWS.replace("(order:", "(orders:").replace("len(order)", "len(orders)")
FOUND = '5:12: BTN102: step "report" has no upstream or input called "order"; did you mean "orders"?'


@pytest.fixture
def project(tmp_path: Path) -> Path:
    write(tmp_path, {"pyproject.toml": "", "steps.py": STEPS, "flows.py": RIGHT})
    return tmp_path


def test_the_text_of_an_editor_is_checked_in_the_place_of_what_is_saved(project: Path) -> None:
    for _ in range(3):  # whatever the cache knows
        outcome = run(project, "-", "--stdin-filename", "flows.py", stdin=FLOWS.encode())
        assert (outcome.status, outcome.lines) == (1, [f"flows.py:{FOUND}"])
        assert run(project).status == 0
    assert (project / "flows.py").read_text() == RIGHT


def test_a_file_that_was_never_saved_is_understood_with_its_project(project: Path) -> None:
    (project / "flows.py").unlink()
    assert run(project, "-", "--stdin-filename", "new.py", stdin=FLOWS.encode()).lines == [f"new.py:{FOUND}"]
    assert run(project, "-", stdin=FLOWS.encode()).lines == [f"-:{FOUND}"]
    assert run(project, "-", stdin=STEPS.encode()).status == 0
    write(project, {"sub/pyproject.toml": "[tool.baton]\nignore = ['BTN102']\n"})
    assert run(project, "-", "--stdin-filename", "sub/new.py", stdin=FLOWS.encode()).status == 0


def test_only_the_text_itself_is_told_of(project: Path) -> None:
    write(project, {"other.py": FLOWS.replace("'shop'", "'other'")})
    assert run(project, "-", "--stdin-filename", "flows.py", stdin=b"").output == ""
    changed = STEPS.replace("def orders", "def all_orders").encode()
    assert run(project, "-", "--stdin-filename", "steps.py", stdin=changed).output == ""


def test_a_fix_writes_the_text_to_the_output_and_the_rest_to_the_error_stream(project: Path) -> None:
    name = ("-", "--stdin-filename", "flows.py")
    outcome = run(project, *name, "--fix", stdin=FLOWS.encode())
    assert (outcome.status, outcome.output) == (0, RIGHT)
    outcome = run(project, *name, "--fix", stdin=RIGHT.encode())
    assert (outcome.status, outcome.output) == (0, RIGHT)
    wrong = FLOWS.replace("(order:", "(zzz:").replace("len(order)", "len(zzz)")
    outcome = run(project, *name, "--fix", stdin=wrong.encode())
    assert (outcome.status, outcome.output) == (1, wrong)
    assert 'flows.py:5:12: BTN102: step "report" has no upstream or input called "zzz"' in outcome.errors
    outcome = run(project, *name, "--diff", stdin=FLOWS.encode())
    assert (outcome.status, outcome.lines[:2]) == (1, ["--- flows.py", "+++ flows.py"])
    assert (project / "flows.py").read_text() == RIGHT


def test_bytes_go_through_as_they_came(project: Path) -> None:
    data = ("# coding: latin-1\r\n" + FLOWS.replace("\n", "\r\n") + "x = 'é'\r\n").encode("latin-1")
    command = [sys.executable, "-m", "baton_lint.cli", "-", "--stdin-filename", "flows.py", "--fix"]
    done = subprocess.run(command, cwd=project, input=data, capture_output=True, check=False)
    assert done.stdout == data.replace(b"(order:", b"(orders:").replace(b"len(order)", b"len(orders)")
    for odd in (b"\xff\0", b"", b"\xef\xbb\xbfx", b"def f(:\n", b"x = 1"):
        done = subprocess.run(command, cwd=project, input=odd, capture_output=True, check=False)
        assert (done.stdout, b"Traceback" in done.stderr) == (odd, False)


def test_every_format_shows_the_text_that_came(project: Path) -> None:
    name = ("-", "--stdin-filename", "flows.py")
    text = ("\n" * 20 + FLOWS).encode()
    assert "25 | def report(order: list[int])" in run(project, *name, "--format", "full", stdin=text).output
    assert json.loads(run(project, *name, "--format", "json", stdin=text).output)[0]["line"] == 25
    assert run(project, "-", "--format", "full", stdin=text).output.splitlines()[1] == "  --> -:25:12"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["-", "flows.py"], "baton-lint: - means one file, whose text is read from the standard input"),
        (["--stdin-filename", "x.py"], "baton-lint: --stdin-filename names the text on the standard input"),
        (["-", "--stdin-filename", "x/"], "baton-lint: --stdin-filename must be the path of a file, got x/"),
    ],
)
def test_what_makes_no_sense_is_told(arguments: list[str], message: str, project: Path) -> None:
    outcome = run(project, *arguments)
    assert outcome.status == 2
    assert outcome.errors.startswith(message)


def test_a_session_follows_every_key_that_is_pressed(project: Path) -> None:
    """A language server's actions (open, type, save and close) over one session."""
    session = Session([str(project)], str(project))
    flows, steps = str(project / "flows.py"), str(project / "steps.py")

    def found() -> list[tuple[str, str]]:
        return [(Path(item.path).name, item.code) for item in session.run().findings]

    assert found() == []
    session.buffers[steps] = STEPS.replace("def orders", "def all_orders").encode()
    assert [item[0] for item in found()] == ["flows.py"]
    session.buffers[steps] = STEPS.encode()
    assert found() == []
    session.buffers[flows] = FLOWS.encode()
    assert found() == [("flows.py", "BTN102")]
    session.buffers[flows] = b"from baton_dsl import Flow\nFlow('x', (\n"
    assert ("flows.py", "BTN902") in found()
    del session.buffers[flows]
    assert found() == []
    session.buffers[str(project / "new.py")] = FLOWS.replace("'shop'", "'new'").encode()
    assert found() == [("new.py", "BTN102")]
    session.buffers.clear()
    assert found() == []
    write(project, {"flows.py": FLOWS})
    assert found() == [("flows.py", "BTN102")]


def test_a_session_parses_only_what_changes(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from baton_lint import session as module

    parsed: list[str] = []
    monkeypatch.setattr(module, "parse", lambda path, data: parsed.append(path) or parse(path, data))
    from baton_lint.search.processes import parse

    session = Session([str(project)], str(project))
    flows = str(project / "flows.py")
    session.buffers[flows] = FLOWS.encode()
    session.run()
    session.run()
    assert parsed == [flows]
    session.buffers[flows] = FLOWS.encode() + b"\n"
    session.run()
    assert parsed == [flows, flows]
