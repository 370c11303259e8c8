"""Apply suppression comments, and find those that ignore nothing."""

from __future__ import annotations

from collections.abc import Iterable

from baton_lint.findings import Finding
from baton_lint.selection import Catalogue
from baton_lint.source.facts import CommentFacts

UNUSED = "BTN901"
PROVABLE = frozenset({"BTN201", "baton-upstream-type", "BTN202", "baton-not-optional"})
"""Rules that only a type checker can fully check: a comment may be there for a finding of `baton-lint types`."""


def suppress(
    findings: Iterable[Finding], comments: dict[str, list[CommentFacts]], catalogue: Catalogue
) -> tuple[list[Finding], list[tuple[str, CommentFacts, str]]]:
    """Remove the findings that comments ignore.

    A comment applies to its own line: to every finding that begins or ends there.

    Args:
        findings: The findings of the selected rules.
        comments: The suppression comments of each file.
        catalogue: All rules.

    Returns:
        The other findings, and for each comment each code (or "" for all) that ignored nothing, unless a type
        checker may find what it ignores.
    """
    by_line: dict[tuple[str, int], list[tuple[CommentFacts, set[str]]]] = {}
    every: list[tuple[str, CommentFacts, set[str]]] = []
    for path, here in comments.items():
        for comment in here:
            used: set[str] = set()
            every.append((path, comment, used))
            by_line.setdefault((path, comment["span"][0]), []).append((comment, used))
    kept: list[Finding] = []
    for finding in findings:
        hidden = False
        for line in {finding.line, finding.end_line}:
            for comment, used in by_line.get((finding.path, line), ()):
                named = {code for code, _ in comment["codes"] if code in (finding.code, finding.slug)}
                if named or not comment["codes"]:
                    used |= named or {""}
                    hidden = True
        if not hidden:
            kept.append(finding)
    unused = [
        (path, comment, code)
        for path, comment, used in every
        for code in ([code for code, _ in comment["codes"]] or [""])
        if code not in used and code not in PROVABLE
    ]
    return kept, unused


def is_rule(code: str, catalogue: Catalogue) -> bool:
    """Whether a comment names a rule, by code or by slug."""
    return code in catalogue or any(code == slug for slug, _ in catalogue.values())
