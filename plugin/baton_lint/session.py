"""One run: find the files, look at what changed, check, and remember."""

from __future__ import annotations

import marshal
import os
import time

from baton_lint.cache import Cache
from baton_lint.walk import stamp, walk
from baton_lint.workers import digest, parse, scan_all

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from baton_dsl.core.spec import FlowSpec
    from baton_lint.analysis import Analysis
    from baton_lint.facts import CommentFacts, FileFacts
    from baton_lint.findings import Finding
    from baton_lint.importable import Importable
    from baton_lint.project import Project
    from baton_lint.walk import Stamp

SETTLED = 50_000_000
"""Nanoseconds. A file that changed less than this before we looked may change again within the clock's tick."""


class Report:
    """What a run found.

    Attributes:
        findings: Of every rule, those that are off by default too.
        comments: The suppression comments of each file that matters.
        catalogue: Slug, and whether it is on by default, of each code.
        problems: Files and folders that could not be read, a sentence each.
        flows: How many flows were seen.
        steps: How many steps they have.
    """

    def __init__(
        self,
        findings: list[Finding],
        comments: dict[str, list[CommentFacts]],
        catalogue: dict[str, tuple[str, bool]],
        problems: list[str],
        flows: int,
        steps: int,
    ) -> None:
        self.findings = findings
        self.comments = comments
        self.catalogue = catalogue
        self.problems = problems
        self.flows = flows
        self.steps = steps

    def packed(self) -> bytes:
        """For the cache."""
        rows = [finding.plain() for finding in self.findings]
        return marshal.dumps((rows, self.comments, self.catalogue, self.flows, self.steps))

    @staticmethod
    def unpacked(data: bytes) -> Report:
        """Back from `packed`."""
        rows, comments, catalogue, flows, steps = marshal.loads(data)  # noqa: S302 - our own cache
        if not rows:
            return Report([], comments, catalogue, [], flows, steps)
        from baton_lint.findings import Finding  # brings typing

        return Report([Finding.of(row) for row in rows], comments, catalogue, [], flows, steps)


class Session:
    """The checks of one project.

    Args:
        folders: What to walk; nothing outside is reported, but imports may lead there.
        root: The folder of the project.
        sources: Further folders that imports start from.
        is_excluded: Says of a path whether the user left it out.
        jobs: How many processes may work.
        extra: Single files to check besides.
    """

    def __init__(
        self,
        folders: Iterable[str],
        root: str,
        *,
        sources: Iterable[str] = (),
        is_excluded: Callable[[str], bool] | None = None,
        jobs: int = 1,
        extra: Iterable[str] = (),
    ) -> None:
        self.folders = tuple(folders)
        self.root = root
        self.sources = tuple(sources)
        self.is_excluded = is_excluded
        self.jobs = jobs
        self.extra = tuple(extra)

    def run(self, cache_path: str | None = None, cache_key: str = "") -> Report:
        """Check the project.

        Args:
            cache_path: Where the last run left what it knew; None to begin from nothing.
            cache_key: What that must have been made with.
        """
        began = time.time_ns()
        stamps, problems = self._walk()
        cache = Cache.load(cache_path, cache_key) if cache_path else Cache()
        if cache.report is not None and cache.stamps == stamps and cache.holds_outside():
            report = Report.unpacked(cache.report)
            report.problems = problems
            return report
        facts, unreadable = self._look(cache, stamps)
        problems += [f"{path}: can't be read: {reason}" for path, reason in unreadable]
        failed = {path for path, _ in unreadable}
        cache.stamps = {
            path: mark if max(mark[0], mark[1]) < began - SETTLED and path not in failed else None
            for path, mark in stamps.items()
        }
        report = self._check(cache, stamps, facts)
        report.problems = problems
        if cache_path:
            cache.report = report.packed() if not problems else None
            cache.save(cache_path, cache_key)
        return report

    def flows(self) -> list[FlowSpec]:
        """The flows of the project, for whoever wants to draw them."""
        stamps, _ = self._walk()
        facts, _ = self._look(Cache(), stamps)
        return list(self._analysis(Cache(), stamps, facts).flows)

    def importable(self) -> tuple[Importable, Report]:
        """The flows of the project with the names that their steps are imported by, and a report of no findings yet."""
        from baton_lint.importable import importable  # only for those who ask for it
        from baton_lint.reporting import catalogue

        stamps, problems = self._walk()
        facts, unreadable = self._look(Cache(), stamps)
        problems += [f"{path}: can't be read: {reason}" for path, reason in unreadable]
        found = importable(self._project(Cache(), stamps, facts), facts)
        steps = sum(len(flow.steps) for flow, _ in found.flows)
        return found, Report([], _comments(facts), catalogue(), problems, len(found.flows), steps)

    def _walk(self) -> tuple[dict[str, Stamp], list[str]]:
        stamps, problems = walk(self.folders, self.is_excluded)
        for path in self.extra:
            try:
                stamps.setdefault(path, stamp(os.stat(path)))
            except OSError as error:
                problems.append(f"{path}: can't be read: {error.strerror or error}")
        return stamps, problems

    def _look(self, cache: Cache, stamps: dict[str, Stamp]) -> tuple[dict[str, FileFacts], list[tuple[str, str]]]:
        """The facts of every file that matters; only files that changed are read."""
        changed = [path for path, mark in stamps.items() if cache.stamps.get(path) != mark]
        as_before = {path for path, mark in stamps.items() if cache.stamps.get(path) == mark}
        known = cache.facts if cache.digests else {}
        digests = {path: mark for path, mark in cache.digests.items() if path in as_before}
        facts = {path: known[mark] for path, mark in digests.items()}
        needles = cache.needles
        scanned, unreadable = scan_all(changed, needles, known, self.jobs, _load_rules)
        while True:
            for path, mark, file in scanned:
                digests[path], facts[path] = mark, file
            if not facts:
                break
            from baton_lint.needles import needles_for  # only if a file matters

            wanted = needles_for(facts)
            if set(wanted) <= set(needles):
                break
            needles = tuple(dict.fromkeys((*needles, *wanted)))
            rest = [path for path in stamps if path not in facts]
            scanned, more = scan_all(rest, needles, known, self.jobs, _load_rules)
            unreadable += [item for item in more if item not in unreadable]
            if not scanned:
                break
        cache.digests = digests
        cache.needles = needles
        cache.keep_facts({mark: facts[path] for path, mark in digests.items()})
        return dict(sorted(facts.items())), unreadable

    def _check(self, cache: Cache, stamps: dict[str, Stamp], facts: dict[str, FileFacts]) -> Report:
        if not facts:
            cache.outside, cache.probes = {}, {}
            return Report([], {}, {}, [], 0, 0)
        from baton_lint.reporting import catalogue, findings_of  # only if there is something to check

        analysis = self._analysis(cache, stamps, facts)
        steps = sum(len(flow.steps) for flow in analysis.flows)
        return Report(findings_of(analysis), _comments(facts), catalogue(), [], len(analysis.flows), steps)

    def _analysis(self, cache: Cache, stamps: dict[str, Stamp], facts: dict[str, FileFacts]) -> Analysis:
        from baton_lint.analysis import analyse  # brings the rules

        return analyse(self._project(cache, stamps, facts), facts)

    def _project(self, cache: Cache, stamps: dict[str, Stamp], facts: dict[str, FileFacts]) -> Project:
        """The modules of the project. What is looked for outside of its folders is put down in the cache."""
        from baton_lint.project import Files, Project

        outside: dict[str, Stamp] = {}
        known = cache.facts

        def load(path: str) -> FileFacts | None:
            """A file that an import leads to: it need not say a word of baton."""
            if path in facts:
                return facts[path]
            try:
                with open(path, "rb") as file:
                    data = file.read()
                    mark = stamp(os.fstat(file.fileno()))
            except OSError:
                return None
            if path not in stamps:
                outside[path] = mark
            name = digest(data)
            if name not in known:
                known[name] = parse(data)
            return known[name]

        files = Files(stamps, self.folders, load)
        cache.outside, cache.probes = outside, files.probes  # both grow while it is analysed
        return Project(files, self.root, self.sources, str)


def _comments(facts: dict[str, FileFacts]) -> dict[str, list[CommentFacts]]:
    return {path: file["comments"] for path, file in facts.items() if file["comments"]}


def _load_rules() -> object:
    """What is needed as soon as all files are read."""
    import baton_lint.reporting

    return baton_lint.reporting
