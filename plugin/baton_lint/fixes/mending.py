"""Handle `--fix`, `--unsafe-fixes` and `--diff`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from baton_lint.fixes.apply import plan_all, write_all
from baton_lint.fixes.difference import difference
from baton_lint.printing import counted, tell

if TYPE_CHECKING:
    from collections.abc import Sequence

    from baton_lint.arguments import Arguments
    from baton_lint.findings import Finding
    from baton_lint.fixes.apply import Left
    from baton_lint.session import Report
    from baton_lint.target import Target


@dataclass(frozen=True, slots=True)
class Mended:
    """The result of applying fixes.

    Attributes:
        files: How many files were changed.
        difference: What would change, for `--diff`.
    """

    files: int = 0
    difference: str = ""


def mend(arguments: Arguments, target: Target, findings: Sequence[Finding], report: Report) -> Mended:
    """Apply the selected fixes, or show them. Print what is left alone."""
    is_unsafe = arguments.has("--unsafe-fixes")
    fixes = [item.fix for item in findings if item.fix and (item.fix[1] or is_unsafe)]
    notebooks = {fix[2] for fix in fixes} & report.cells.keys()
    changes, left = plan_all([fix for fix in fixes if fix[2] not in notebooks], target.buffers)
    result = Mended()
    if arguments.has("--diff"):
        result = Mended(difference=difference(changes, target.shown))
    else:
        saved = [change for change in changes if change.path not in target.buffers]
        written, unwritten = write_all(saved, target.is_inside)
        left += unwritten
        for change in changes:
            if change.path in target.buffers:
                target.buffers[change.path] = change.after
                written.append(change)
        result = Mended(files=len(written))
        if written and not arguments.has("--quiet"):
            tell(
                f"{counted(sum(len(change.fixes) for change in written), 'finding')} fixed in "
                f"{counted(len(written), 'file')}"
            )
    for path in sorted(notebooks):
        tell(f"{target.shown(path)}: left alone: notebooks are not fixed")
    for item in left:
        tell(_sentence(item, target))
    return result


def _sentence(left: Left, target: Target) -> str:
    place = target.shown(left.path)
    if left.place is not None:
        place = f"{place}:{left.place[0]}:{left.place[1]}"
    return f"{place}: left alone: {left.reason}"
