"""Findings for people: the line, what is wrong under it, the cycle drawn, and what to do."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from baton_lint.findings import Finding, Remark
from baton_lint.reading import UndecodableError, decode

type Show = Callable[[str], str]


def render(findings: Sequence[Finding], shown: Show) -> str:
    """A block a finding, with an empty line between them."""
    sources = Sources()
    return "\n\n".join(_block(finding, shown, sources) for finding in findings)


class Sources:
    """The lines of files, each read once."""

    def __init__(self) -> None:
        self._lines: dict[str, list[str]] = {}

    def line(self, path: str, number: int) -> str | None:
        """A line of a file; None if the file can't be read any more or has no such line."""
        if path not in self._lines:
            try:
                with open(path, "rb") as file:
                    self._lines[path] = decode(file.read()).split("\n")
            except (OSError, UndecodableError):
                self._lines[path] = []
        lines = self._lines[path]
        return lines[number - 1] if 0 < number <= len(lines) else None


def _block(finding: Finding, shown: Show, sources: Sources) -> str:
    lines = [f"{finding.code} {finding.slug}: {finding.message}"]
    lines += _frame(finding, shown(finding.path), sources)
    if finding.code == "BTN101":
        lines += _cycle(finding.remarks, shown)
    else:
        lines += [f"  note: {_at(remark, shown)}{remark.message}" for remark in finding.remarks]
    if finding.help:
        lines.append(f"  help: {finding.help}")
    lines.append(f"  {finding.url}")
    return "\n".join(lines)


def _frame(finding: Finding, path: str, sources: Sources) -> list[str]:
    margin = " " * len(str(finding.line))
    head = f"{margin}--> {path}:{finding.line}:{finding.column}"
    text = sources.line(finding.path, finding.line)
    if text is None:
        return [head]
    end = finding.end_column if finding.end_line == finding.line else len(text) + 1
    before = "".join("\t" if character == "\t" else " " for character in text[: finding.column - 1])
    marks = "^" * max(end - finding.column, 1)
    return [head, f"{margin} |", f"{finding.line} | {text}", f"{margin} | {before}{marks}"]


def _cycle(hops: Sequence[Remark], shown: Show) -> list[str]:
    """The cycle, drawn as a loop from its first step back to it."""
    lines: list[str] = []
    for position, hop in enumerate(hops):
        corner = "┌─> " if position == 0 else "│   "
        lines.append(f"  {corner}{hop.message}" + (f"    {_at(hop, shown).removesuffix(': ')}" if hop.path else ""))
    if lines:
        lines.append("  └──")
    return lines


def _at(remark: Remark, shown: Show) -> str:
    return f"{shown(remark.path)}:{remark.line}:{remark.column}: " if remark.path else ""
