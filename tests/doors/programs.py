"""Programs whose findings are known, line by line: what every door has to say of them.

A program is a text file. A line `# file: app/flow.py` begins a file of it, and `# expect: BTN201` ends a line that one
finding lies on; `# expect(lint): BTN106` is for one door alone. A line without such a mark has no finding.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(__file__).parent / "cases"

type Findings = Counter[tuple[str, int, str]]
"""How often a code is found on a line of a file."""


@dataclass(frozen=True)
class Program:
    name: str
    files: dict[str, str]

    @staticmethod
    def read(path: Path) -> Program:
        files: dict[str, str] = {}
        current = "flows.py"
        for line in path.read_text(encoding="utf-8").splitlines(keepends=True):
            if begins := re.match(r"# file: (\S+)", line):
                current = begins[1]
                files[current] = ""
            else:
                files[current] = files.get(current, "") + line
        return Program(path.stem, files)

    def write(self, folder: Path) -> None:
        for name, text in {"pyproject.toml": "", **self.files}.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")

    def expected(self, door: str) -> Findings:
        """What a door has to find: `live`, `lint` or `mypy`."""
        return Counter(
            (name, number, code)
            for name, text in self.files.items()
            for number, line in enumerate(text.splitlines(), start=1)
            for doors, codes in re.findall(r"# expect(\([\w, ]+\))?:((?: BTN\d+,?)+)", line)
            if not doors or door in doors
            for code in re.findall(r"BTN\d+", codes)
        )


PROGRAMS = [Program.read(path) for path in sorted(FOLDER.glob("*.txt"))]
