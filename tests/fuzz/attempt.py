"""One mutant before baton-lint, and what must hold whatever it is."""

from __future__ import annotations

import ast
import contextlib
import io
import json
import os
import re
import shutil
import signal
import sys
import traceback
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from unittest import mock

from baton_lint import cli

from tests.fuzz.mutate import Mutant

PATIENCE = 30
"""Seconds after which a run hangs."""
_LINE = re.compile(r".+:\d+:\d+: BTN\d{3}: .+")


@dataclass(frozen=True)
class Failure:
    """Something that must not be.

    Attributes:
        signature: The same for the same fault.
        story: What happened.
    """

    signature: str
    story: str


class HangsError(Exception):
    """A run takes too long."""


@dataclass(frozen=True)
class Seen:
    """What a run gave."""

    status: int
    output: str
    errors: str


def attempt(mutant: Mutant, folder: Path) -> Failure | None:
    """Run a mutant in a folder, which is emptied before.

    Returns:
        What went wrong; None if nothing did.
    """
    try:
        lay_out(mutant, folder)
        seen = run(mutant, folder)
        return judge(mutant, seen, folder)
    except Exception as error:  # noqa: BLE001 - what it is looking for
        frames = traceback.extract_tb(error.__traceback__)
        ours = [frame for frame in frames if "baton_" in frame.filename] or frames
        last = ours[-1]
        return Failure(
            f"{type(error).__name__} in {Path(last.filename).name}:{last.name}",
            "".join(traceback.format_exception(error)[-8:]),
        )


def lay_out(mutant: Mutant, folder: Path) -> None:
    """Write the files of a mutant."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    (folder / "pyproject.toml").touch()
    for name, data in mutant.files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    if mutant.cache is not None:
        run(replace(mutant, arguments=()), folder)
        for cached in list((folder / ".baton_cache").iterdir()):
            _spoil(cached, mutant)


def _spoil(cached: Path, mutant: Mutant) -> None:
    data = cached.read_bytes()
    spoilt = mutant.cache or b""
    if spoilt == b"mutate":
        middle = len(data) // 2
        spoilt = data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :]
    cached.unlink()
    match mutant.cache_is:
        case "link":
            cached.symlink_to("/dev/zero")
        case "folder":
            cached.mkdir()
        case "pipe":
            os.mkfifo(cached)
        case _:
            cached.write_bytes(spoilt)


def run(mutant: Mutant, folder: Path, *more: str) -> Seen:
    """Run baton-lint in this process."""
    output, errors = _stream(), _stream()
    given = io.TextIOWrapper(io.BytesIO(mutant.stdin))
    arguments = [*mutant.arguments, *more]
    with (
        _inside(folder),
        contextlib.redirect_stdout(output),
        contextlib.redirect_stderr(errors),
        mock.patch.object(sys, "stdin", given),
        mock.patch("os.cpu_count", return_value=1),  # forks of forks would hide where it fails
        _at_most(PATIENCE),
    ):
        status = cli.main(arguments)
    return Seen(status, _text(output), _text(errors))


def judge(mutant: Mutant, seen: Seen, folder: Path) -> Failure | None:
    """What must hold of every run."""
    told = f"{mutant.arguments} -> {seen.status}\n{seen.output[-2000:]}\n{seen.errors[-2000:]}"
    if seen.status not in (0, 1, 2):
        return Failure(f"status {seen.status}", told)
    if "Traceback" in seen.errors or "Warning:" in seen.errors:
        return Failure("a traceback or warning is printed", told)
    if mutant.kind == "command":
        return None
    options = mutant.arguments
    if "json" in options or "sarif" in options:
        try:
            json.loads(seen.output)
        except ValueError as error:
            return Failure(f"no JSON: {error}", told)
    if options[0] == "emit" and seen.status == 0:
        try:
            ast.parse(seen.output)
        except (SyntaxError, ValueError) as error:
            return Failure(f"what is emitted is no Python: {error}", told)
    for name, data in mutant.files.items():
        if (folder / name).read_bytes() != data:
            return Failure("a file has changed", told)
    if "--diff" in options and seen.status == 1:
        return _judge_fix(mutant, folder)
    if options[0] in ("graph", "emit", "--diff") or "--no-cache" in options:
        return None
    plain = replace(
        mutant, arguments=tuple(item for item in options if item not in ("--format", "json", "full", "sarif"))
    )
    first, second, fresh = run(plain, folder), run(plain, folder), run(plain, folder, "--no-cache")
    if not first == second == fresh:
        return Failure("the cache changes what is found", f"{told}\n{first}\n{second}\n{fresh}")
    if any(line and not _LINE.fullmatch(line) for line in fresh.output.split("\n")):
        return Failure("a finding is no line", f"{told}\n{fresh.output}")
    return None


def _judge_fix(mutant: Mutant, folder: Path) -> Failure | None:
    fixing = replace(mutant, arguments=("--no-cache", "--unsafe-fixes", "flows.py"), stdin=b"")
    run(fixing, folder)
    once = {name: (folder / name).read_bytes() for name in mutant.files}
    for name, data in once.items():
        if name.endswith(".py") and data != mutant.files[name]:
            try:
                ast.parse(data)
            except (SyntaxError, ValueError) as error:
                return Failure(f"a fix breaks a file: {error}", f"{name}\n{data!r}")
    for _ in range(3):  # a fix may make another one possible, but not for ever
        run(fixing, folder)
    settled = {name: (folder / name).read_bytes() for name in mutant.files}
    run(fixing, folder)
    if settled != {name: (folder / name).read_bytes() for name in mutant.files}:
        return Failure("fixes never end", repr(settled))
    return None


def _stream() -> io.TextIOWrapper:
    return io.TextIOWrapper(io.BytesIO(), encoding="utf-8", newline="")


def _text(stream: io.TextIOWrapper) -> str:
    stream.flush()
    data = stream.buffer
    assert isinstance(data, io.BytesIO)
    return data.getvalue().decode("utf-8")


@contextlib.contextmanager
def _inside(folder: Path) -> Iterator[None]:
    before = Path.cwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)


@contextlib.contextmanager
def _at_most(seconds: int) -> Iterator[None]:
    def ring(*_: object) -> None:
        raise HangsError(f"it takes more than {seconds} seconds")

    before = signal.signal(signal.SIGALRM, ring)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
