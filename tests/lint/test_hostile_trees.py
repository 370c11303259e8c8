"""A foreign source tree can't break a run, or make it touch files outside the tree."""

import json
import marshal
import os
import subprocess
import sys
import time
from pathlib import Path
from zlib import crc32

import pytest
from baton_lint.search import sealed

from tests.lint.support import lint, run, write
from tests.lint.test_bad_input import FOUND, GOOD

CLEAN = "from baton_dsl import Flow, step\n\n@step\ndef a() -> int:\n    return 1\n\nflow = Flow('f', a)\n"
MISSPELT = (
    "from baton_dsl import Flow, step\n\n@step\ndef orders() -> int:\n    return 1\n\n"
    "@step\ndef report(order: int) -> int:\n    return order\n\nflow = Flow('f', orders, report)\n"
)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    write(folder, {"pyproject.toml": "", "good.py": GOOD})
    return folder


# --- the cache ---------------------------------------------------------------------------------------------------


def cache_file(project: Path) -> Path:
    return next(path for path in (project / ".baton_cache").iterdir() if path.name != ".gitignore")


def test_a_cache_folder_that_is_a_link_is_left_alone(project: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (project / ".baton_cache").symlink_to(outside)
    assert run(project).lines == [FOUND]
    assert list(outside.iterdir()) == []
    (project / ".baton_cache").unlink()
    (project / ".baton_cache").symlink_to(tmp_path / "nowhere")
    assert run(project).lines == [FOUND]
    assert not (tmp_path / "nowhere").exists()


@pytest.mark.parametrize("name", [".gitignore", "cache", "temporary"])
def test_a_link_in_the_cache_folder_is_never_written_through(name: str, project: Path, tmp_path: Path) -> None:
    run(project)
    cached = cache_file(project)
    victim = tmp_path / "victim"
    victim.write_text("precious")
    planted = {".gitignore": cached.with_name(".gitignore"), "cache": cached}.get(
        name, cached.with_name(f"{cached.name}.{os.getpid()}")
    )
    planted.unlink(missing_ok=True)
    planted.symlink_to(victim)
    write(project, {"good.py": GOOD + "\n"})
    assert run(project).lines == [FOUND]
    assert victim.read_text() == "precious"
    planted.unlink(missing_ok=True)
    planted.symlink_to(tmp_path / "created")
    write(project, {"good.py": GOOD + "\n\n"})
    assert run(project).lines == [FOUND]
    assert not (tmp_path / "created").exists()


def test_a_link_to_a_cache_is_not_read(project: Path, tmp_path: Path) -> None:
    run(project)
    cached = cache_file(project)
    moved = cached.rename(tmp_path / "moved")
    cached.symlink_to(moved)
    assert sealed.read(str(cached)) is None
    assert sealed.read(str(moved)) is not None


def crafted() -> dict[str, bytes]:
    """A cache that somebody could write who knows its format, but not the key."""
    stored = {
        "key": "",
        "stamps": 7,
        "digests": {"x": b""},
        "needles": None,
        "outside": {3: 4},
        "probes": {b"\0": 1},
        "places": (),
        "report": b"\xff",
        "facts": b"",
    }
    whole = marshal.dumps(stored)
    code = marshal.dumps(compile("raise SystemExit(9)", "x", "exec"))
    huge = b"[" + (0x7FFFFFFF).to_bytes(4, "little")
    deep = b"(\x01\x00\x00\x00" * 1_000_000
    bodies = {"a right shape": whole, "code": code, "a huge list": huge, "depth": deep, "nothing": b""}
    found = {name: bytes(32) + body for name, body in bodies.items()}
    found |= {f"{name}, as once": crc32(body).to_bytes(4) + body for name, body in bodies.items()}
    return found


@pytest.mark.parametrize("name", crafted())
def test_a_cache_that_others_wrote_is_not_there(name: str, project: Path) -> None:
    run(project)
    cached = cache_file(project)
    mode = cached.stat().st_mode
    cached.write_bytes(crafted()[name])
    assert (cached.stat().st_mode, sealed.read(str(cached))) == (mode, None)
    assert run(project).lines == [FOUND]
    assert sealed.read(str(cached)) is not None  # and it is ours again


def test_a_cache_of_another_user_is_not_there(project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run(project)
    ours = cache_file(project)
    assert sealed.read(str(ours)) is not None
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "another"))
    assert sealed.read(str(ours)) is None
    assert run(project).lines == [FOUND]
    assert sealed.read(str(ours)) is not None
    monkeypatch.setenv("XDG_CACHE_HOME", str(project / "good.py"))  # no folder can be made there
    assert run(project).lines == [FOUND]


def test_a_pipe_or_a_folder_in_the_place_of_the_cache_is_no_cache(project: Path) -> None:
    run(project)
    cached = cache_file(project)
    cached.unlink()
    os.mkfifo(cached)
    assert run(project).lines == [FOUND]
    cached.unlink()
    cached.mkdir()
    assert run(project).lines == [FOUND]


def test_the_key_is_not_in_the_tree_and_only_for_its_user(project: Path) -> None:
    run(project)
    key = Path(os.environ["XDG_CACHE_HOME"], "baton-dsl", "key")
    assert (key.stat().st_mode & 0o777, key.stat().st_size) == (0o600, 32)
    assert key.read_bytes() not in cache_file(project).read_bytes()


def test_a_type_checker_gets_no_cache_folder_that_we_did_not_make(project: Path, tmp_path: Path) -> None:
    folder = project / ".baton_cache" / "mypy"
    assert sealed.is_own_folder(str(folder))
    assert sealed.is_own_folder(str(folder))
    (folder / ".baton").write_bytes(b"a folder that baton-lint made")
    assert not sealed.is_own_folder(str(folder))
    outside = tmp_path / "outside"
    outside.mkdir()
    other = project / ".baton_cache" / "pyright"
    other.symlink_to(outside)
    assert not sealed.is_own_folder(str(other))
    linked = project / "linked"
    linked.symlink_to(outside)
    assert not sealed.is_own_folder(str(linked / "mypy"))
    assert list(outside.iterdir()) == []


# --- fixes -------------------------------------------------------------------------------------------------------


def test_a_fix_is_not_written_through_links_that_lead_out_of_the_project(tmp_path: Path) -> None:
    project, victim = tmp_path / "project", tmp_path / "victim.py"
    write(project, {"pyproject.toml": ""})
    victim.write_text(MISSPELT)
    (project / "flows.py").symlink_to(victim)
    outcome = run(project, "--no-cache", "--fix")
    assert outcome.status == 1
    assert victim.read_text() == MISSPELT
    assert f"flows.py: left alone: it is a link to {victim}, outside of the project" in outcome.errors
    inside = project / "real" / "flows.txt"
    write(project, {"real/flows.txt": MISSPELT})
    (project / "flows.py").unlink()
    (project / "flows.py").symlink_to(inside)
    assert run(project, "--no-cache", "--fix").status == 0
    assert (project / "flows.py").is_symlink()
    assert "def report(orders: int)" in inside.read_text()


def test_a_name_that_a_fix_would_write_first_is_not_written_through(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("precious")
    write(tmp_path / "project", {"pyproject.toml": "", "flows.py": MISSPELT})
    for name in ("flows.py.baton", f"flows.py.{os.getpid()}.baton"):
        (tmp_path / "project" / name).symlink_to(victim)
    outcome = run(tmp_path / "project", "--no-cache", "--fix")
    assert victim.read_text() == "precious"
    assert "flows.py: left alone: it can't be written: File exists" in outcome.errors


def test_a_file_that_cannot_be_written_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, {"pyproject.toml": "", "flows.py": MISSPELT})

    def refuse(*arguments: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "replace", refuse)
    outcome = run(tmp_path, "--no-cache", "--fix")
    assert outcome.status == 1
    assert "flows.py: left alone: it can't be written: Permission denied" in outcome.errors
    assert sorted(path.name for path in tmp_path.iterdir()) == ["flows.py", "pyproject.toml"]


DEEP = {
    "a sum": "x = " + "1 + " * 900 + "1\n",
    "calls": "x = f" + "()" * 900 + "\n",
    "negations": "x = " + "not " * 900 + "1\n",
    "a pattern that libraries read for minutes": "match 1:\n    case " + "[" * 190 + "]" * 190 + ":\n        pass\n",
}


@pytest.mark.parametrize("name", DEEP)
@pytest.mark.parametrize("where", ["beside", "inside"])
def test_deep_code_beside_a_fix_or_in_it_is_no_obstacle(name: str, where: str, tmp_path: Path) -> None:
    deep = DEEP[name]
    source = MISSPELT + deep
    if where == "inside":
        source = MISSPELT.replace(
            "    return order\n", "".join(f"    {line}\n" for line in deep.splitlines()) + "    return order\n"
        )
    write(tmp_path, {"pyproject.toml": "", "flows.py": source})
    shown = run(tmp_path, "--no-cache", "--diff")
    assert "+def report(orders: int) -> int:" in shown.lines
    began = time.process_time()
    assert run(tmp_path, "--no-cache", "--fix").status == 0
    assert time.process_time() - began < 30
    assert (tmp_path / "flows.py").read_text() == source.replace("order:", "orders:").replace(
        "return order\n", "return orders\n"
    )


# --- names -------------------------------------------------------------------------------------------------------


def test_names_that_are_no_utf_8_or_do_not_print_are_told_by_escapes(tmp_path: Path) -> None:
    write(tmp_path, {"pyproject.toml": ""})
    for name in (b"caf\xe9.py", b"line\nflows.py:1:1: BTN101: made up.py", b"\x1b[31mred.py", "r\u202eyp.py".encode()):
        Path(os.fsdecode(os.fsencode(tmp_path) + b"/" + name)).write_text(GOOD)
    found = FOUND.removeprefix("good.py")
    expected = {rf"caf\xe9.py{found}", rf"line\nflows.py:1:1: BTN101: made up.py{found}"}
    expected |= {rf"\x1b[31mred.py{found}", rf"r\u202eyp.py{found}"}
    for cached in ((), (), ("--no-cache",)):
        assert set(run(tmp_path, "--select", "BTN102", *cached).lines) == expected, cached
    process = [sys.executable, "-m", "baton_lint.cli", "--select", "BTN102", "--no-cache"]
    for form in ("text", "json", "sarif", "github", "full"):
        done = subprocess.run([*process, "--format", form], cwd=tmp_path, capture_output=True, check=False)
        assert (done.returncode, b"Traceback" in done.stderr) == (1, False)
        text = done.stdout.decode()
        assert "\x1b" not in text
        if form == "json":
            assert r"caf\xe9.py" in {item["path"] for item in json.loads(text)}
        if form == "sarif":
            uris = [
                item["locations"][0]["physicalLocation"]["artifactLocation"]["uri"]
                for item in json.loads(text)["runs"][0]["results"]
            ]
            assert "caf%E9.py" in uris


@pytest.mark.parametrize("form", ["text", "full", "json", "sarif", "github"])
def test_what_the_terminal_cannot_show_is_told_all_the_same(form: str, tmp_path: Path) -> None:
    source = MISSPELT.replace("report", "bericht_für").replace("'f'", "'\\ud800 f\\n::add-mask::x'")
    write(tmp_path, {"pyproject.toml": "", "flöws.py": source})
    environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
    done = subprocess.run(
        [sys.executable, "-m", "baton_lint.cli", "--no-cache", "--format", form],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        check=False,
    )
    assert (done.returncode, b"Traceback" in done.stderr) == (1, False)
    text = done.stdout.decode("ascii")
    assert not any(line.startswith("::add-mask") for line in text.splitlines())
    if form in ("json", "sarif"):
        assert "bericht_für" in json.dumps(json.loads(text), ensure_ascii=False)


# --- other things in the way -------------------------------------------------------------------------------------


def test_what_only_looks_like_a_file_is_not_waited_for(project: Path) -> None:
    os.mkfifo(project / "pipe.py")
    (project / "device.py").symlink_to("/dev/zero")
    (project / "loop.py").symlink_to(project / "loop.py")
    (project / "folder.py").mkdir()
    write(project, {"folder.py/inner.py": GOOD})
    outcome = run(project, "--no-cache", "--strict", "--select", "BTN102")
    assert outcome.lines == [FOUND.replace("good.py", "folder.py/inner.py"), FOUND]
    assert [line for line in outcome.errors.splitlines() if "left alone" in line] == [
        f"{name}.py: left alone: is no file, or a link to nowhere" for name in ("device", "loop", "pipe")
    ]
    assert run(project, "pipe.py").errors.startswith("pipe.py: is neither a file nor a folder")


def test_a_file_without_end_is_told(project: Path) -> None:
    with (project / "huge.py").open("wb") as file:
        file.truncate(1 << 34)
    outcome = run(project, "--no-cache")
    assert (outcome.status, outcome.lines) == (2, [FOUND])
    assert "huge.py: can't be read: it has more than 134,217,728 bytes" in outcome.errors


def test_pyproject_as_a_pipe_is_empty(project: Path) -> None:
    (project / "pyproject.toml").unlink()
    os.mkfifo(project / "pyproject.toml")
    assert run(project, "--no-cache").lines == [FOUND]


WRONG = {
    "a number without end": ("[tool.baton]\nselect = " + "9" * 5_000, "is not valid TOML: Exceeds the limit"),
    "tables without end": (
        "[tool.baton]\nselect" + ".a" * 20_000 + " = 1",
        "[tool.baton] select must be a list of rules, got a dict",
    ),
    "lists without end": ("[tool.baton]\nselect = " + "[" * 20_000, "is not valid TOML"),
    "no UTF-8": ("[tool.baton]\nselect = '\udcff'", "is not valid TOML"),
    "a rule that is none": (
        '[tool.baton]\nselect = ["BTN102", "BTN77"]',
        '[tool.baton] select: no rule is called "BTN77"',
    ),
    "an ignored rule that is none": ('[tool.baton]\nignore = ["x"]', '[tool.baton] ignore: no rule is called "x"'),
    "a null byte": ('[tool.baton]\nsrc = ["\\u0000"]\nexclude = ["\\u0000", "[", "**/*"]', None),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_configuration_that_makes_no_sense_is_told_and_the_rest_holds(name: str, project: Path) -> None:
    text, message = WRONG[name]
    (project / "pyproject.toml").write_bytes(text.encode(errors="surrogateescape"))
    outcome = run(project, "--no-cache")
    assert (outcome.status, outcome.lines) == (1 if message is None else 2, [FOUND])
    assert message is None or f"{project}/pyproject.toml: {message}" in outcome.errors


def test_warnings_of_python_are_no_findings(project: Path) -> None:
    write(project, {"good.py": GOOD + "x = '\\d'\ny = 1if x else 2\nz = x is 1\n"})
    done = subprocess.run(
        [sys.executable, "-W", "error", "-m", "baton_lint.cli", "--no-cache"],
        cwd=project,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.stdout.splitlines(), "Warning" in done.stderr) == ([FOUND], False)


def test_an_output_that_cannot_be_written_is_a_sentence(project: Path) -> None:
    with open("/dev/full", "w") as full:  # noqa: PTH123
        done = subprocess.run(
            [sys.executable, "-m", "baton_lint.cli", "--no-cache"],
            cwd=project,
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert (done.returncode, "Traceback" in done.stderr) == (2, False)
    assert "baton-lint: No space left on device" in done.stderr


def test_a_folder_that_is_gone_is_a_sentence(tmp_path: Path) -> None:
    script = (
        "import os, sys, tempfile\nfolder = tempfile.mkdtemp()\nos.chdir(folder)\nos.rmdir(folder)\n"
        "from baton_lint.cli import main\nsys.exit(main([]))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (2, "baton-lint: No such file or directory\n")


def test_packages_with_the_names_of_build_folders_are_checked_and_the_others_told(tmp_path: Path) -> None:
    write(
        tmp_path, {"pyproject.toml": "", "app/build/__init__.py": "", "app/build/good.py": GOOD, "build/lib/x.py": GOOD}
    )
    write(tmp_path, {"venv/pyvenv.cfg": "", "venv/x.py": GOOD, "node_modules/x.py": GOOD})
    assert lint(tmp_path) == [f"app/build/{FOUND}"]
    told = run(tmp_path, "--no-cache", "--strict").errors.splitlines()
    assert "build: left alone: has a name that is used for what is built or installed, and is no package" in told
