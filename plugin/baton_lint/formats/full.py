"""Findings for people: the source line with a marker, the drawn cycle, and what to do."""

from __future__ import annotations

from collections.abc import Sequence

from baton_lint.formats.placing import Placed, Sources, Spot


def render(findings: Sequence[Placed], sources: Sources) -> str:
    """Render a block for each finding, separated by empty lines."""
    return "\n\n".join(_block(item, sources) for item in findings)


def _block(item: Placed, sources: Sources) -> str:
    finding = item.finding
    lines = [f"{finding.code} {finding.slug}: {finding.message}"]
    lines += _frame(item.spot, sources)
    if finding.code == "BTN101":
        lines += _cycle(item.remarks)
    else:
        lines += [f"  note: {spot}: {message}" if spot else f"  note: {message}" for message, spot in item.remarks]
    if finding.help:
        lines.append(f"  help: {finding.help}")
    lines.append(f"  {finding.url}")
    return "\n".join(lines)


def _frame(spot: Spot, sources: Sources) -> list[str]:
    margin = " " * len(str(spot.line))
    head = f"{margin}--> {spot}"
    text = sources.line(spot)
    if text is None:
        return [head]
    # characters that are not printable would move the marks below, or the cursor
    text = "".join(character if character.isprintable() or character == "\t" else "\ufffd" for character in text)
    end = spot.end_column if spot.end_line == spot.line else len(text) + 1
    before = "".join("\t" if character == "\t" else " " for character in text[: spot.column - 1])
    marks = "^" * max(end - spot.column, 1)
    return [head, f"{margin} |", f"{spot.line} | {text}", f"{margin} | {before}{marks}"]


def _cycle(hops: Sequence[tuple[str, Spot | None]]) -> list[str]:
    """The cycle, drawn as a loop from its first step back to it."""
    lines: list[str] = []
    for position, (message, spot) in enumerate(hops):
        corner = "┌─> " if position == 0 else "│   "
        lines.append(f"  {corner}{message}" + (f"    {spot}" if spot else ""))
    if lines:
        lines.append("  └──")
    return lines
