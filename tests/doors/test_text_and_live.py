"""Programs that one door once judged wrongly, or not as the others do."""

import json
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from tests.doors.programs import PROGRAMS, Program
from tests.lint.support import lint

LIVE = Path(__file__).with_name("live.py")
LINE = re.compile(r"(.+?):(\d+):(\d+): (BTN\d+): (.+)")


def by_lint(folder: Path) -> set[tuple[str, int, int, str, str]]:
    lines = [LINE.fullmatch(line) for line in lint(folder)]
    assert None not in lines
    return {(line[1], int(line[2]), int(line[3]), line[4], line[5]) for line in lines if line}


def by_life(folder: Path) -> set[tuple[str, int, int, str, str]]:
    run = subprocess.run([sys.executable, LIVE, folder], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    return {tuple(json.loads(line)) for line in run.stdout.splitlines()}


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda program: program.name)
def test_text_and_live_functions_find_what_is_wrong_and_nothing_else(program: Program, tmp_path: Path) -> None:
    program.write(tmp_path)
    text, live = by_lint(tmp_path), by_life(tmp_path)
    assert Counter(finding[:2] + finding[3:4] for finding in text) == program.expected("lint")
    assert Counter(finding[:2] + finding[3:4] for finding in live) == program.expected("live")
    shared = {finding[:4] for finding in text} & {finding[:4] for finding in live}
    assert {finding for finding in text if finding[:4] in shared} == {
        finding for finding in live if finding[:4] in shared
    }, "the same words"
