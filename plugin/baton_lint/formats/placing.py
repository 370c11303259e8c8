"""Convert the positions of findings for users: relative paths, and cells of notebooks.

A notebook is checked as one text of all its code cells, but users need the line in a cell.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from baton_lint.findings import Finding, Remark
from baton_lint.printing import visible
from baton_lint.source.decoding import UndecodableError, decode

type Cells = Mapping[str, Sequence[tuple[int, int]]]
"""For each notebook, the first line of each cell in the combined text, and the number of the cell."""


class Spot(NamedTuple):
    """A place as it is shown to users.

    Attributes:
        path: The path as users see it.
        file: The file itself.
        cell: The number of the cell, from 1, counting Markdown cells too; None in a module.
        line: From 1; in a notebook, within the cell.
        column: From 1, in characters.
        end_line: The line of the end.
        end_column: One past the last character.
        source_line: The line in the text that was checked.
    """

    path: str
    file: str
    cell: int | None
    line: int
    column: int
    end_line: int
    end_column: int
    source_line: int

    def __str__(self) -> str:
        cell = "" if self.cell is None else f"cell {self.cell}:"
        return f"{self.path}:{cell}{self.line}:{self.column}"


class Placed(NamedTuple):
    """A finding with its places as they are shown, and with every text on one line."""

    finding: Finding
    spot: Spot
    remarks: tuple[tuple[str, Spot | None], ...]


def placed(findings: Sequence[Finding], cells: Cells, shown: Callable[[str], str]) -> list[Placed]:
    """Convert findings for users.

    Args:
        findings: The findings.
        cells: The cells of the notebooks among the files.
        shown: Formats a path for users.
    """
    return [_placed(finding, cells, shown) for finding in findings]


def _placed(finding: Finding, cells: Cells, shown: Callable[[str], str]) -> Placed:
    plain = finding._replace(
        message=visible(finding.message),
        help=None if finding.help is None else visible(finding.help),
        flow=None if finding.flow is None else visible(finding.flow),
        step=None if finding.step is None else visible(finding.step),
    )
    remarks = tuple([(visible(remark.message), _remark(remark, cells, shown)) for remark in finding.remarks])
    return Placed(plain, spot_of(finding.path, finding[1:5], cells, shown), remarks)


def _remark(remark: Remark, cells: Cells, shown: Callable[[str], str]) -> Spot | None:
    return None if remark.path is None else spot_of(remark.path, remark[2:6], cells, shown)


def spot_of(path: str, span: tuple[int, int, int, int], cells: Cells, shown: Callable[[str], str]) -> Spot:
    """A place as it is shown to users."""
    line, column, end_line, end_column = span
    first, cell = max((item for item in cells.get(path, ()) if item[0] <= line), default=(1, 0))
    begin = first - 1
    return Spot(shown(path), path, cell or None, line - begin, column, max(end_line - begin, 1), end_column, line)


class Sources:
    """The lines of files, each read once.

    Args:
        buffers: The content of files that are not saved.
    """

    def __init__(self, buffers: Mapping[str, bytes]) -> None:
        self._buffers = buffers
        self._lines: dict[str, list[str]] = {}

    def line(self, spot: Spot) -> str | None:
        """The line of a place; None if the file can no longer be read or has no such line."""
        if spot.file not in self._lines:
            self._lines[spot.file] = self._read(spot.file)
        lines = self._lines[spot.file]
        return lines[spot.source_line - 1] if 0 < spot.source_line <= len(lines) else None

    def _read(self, path: str) -> list[str]:
        try:
            data = self._buffers.get(path)
            if data is None:
                with open(path, "rb") as file:
                    data = file.read()
            if path.endswith(".ipynb"):
                from baton_lint.source.notebooks import text_of

                return text_of(data).split("\n")
            return decode(data).split("\n")
        except (OSError, UndecodableError):
            return []
