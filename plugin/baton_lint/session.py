"""One run: find the files, read the changed ones, check, and update the cache."""

from __future__ import annotations

import marshal
import os
import time

from baton_lint.printing import visible
from baton_lint.search.cache import Cache
from baton_lint.search.folders import stamp, walk
from baton_lint.search.prefilter import LARGEST, matches
from baton_lint.search.processes import digest, parse, scan_all

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from baton_dsl.core.spec import FlowSpec
    from baton_lint.findings import Finding
    from baton_lint.program.analysis import Analysis
    from baton_lint.program.importable import Importable
    from baton_lint.program.project import Project
    from baton_lint.search.folders import Stamp, Walked
    from baton_lint.search.prefilter import Needle
    from baton_lint.search.processes import Scanned
    from baton_lint.source.facts import CommentFacts, FileFacts

SETTLED = 50_000_000
"""Nanoseconds. A file that changed less than this before we read it may change again with the same time stamp."""


class Report:
    """What a run found.

    Attributes:
        findings: The findings of all rules, including those that are off by default.
        comments: The suppression comments of each file that matters.
        catalogue: For each code, its slug and whether it is on by default.
        problems: Files and folders that could not be read, one sentence each.
        flows: How many flows were found.
        steps: How many steps they have.
        cells: For each notebook that matters, the first line of each cell in the combined text, and the cell's number.
        unresolved: Annotations of steps that can't be resolved.
        left: What was skipped although it may contain source code: a path and the reason.
    """

    def __init__(
        self,
        findings: list[Finding],
        comments: dict[str, list[CommentFacts]],
        catalogue: dict[str, tuple[str, bool]],
        problems: list[str],
        flows: int,
        steps: int,
        cells: dict[str, list[tuple[int, int]]],
        unresolved: Sequence[tuple[str, int, int, str]] = (),
    ) -> None:
        self.findings = findings
        self.comments = comments
        self.catalogue = catalogue
        self.problems = problems
        self.flows = flows
        self.steps = steps
        self.cells = cells
        self.unresolved = unresolved
        self.left: list[tuple[str, str]] = []

    def packed(self) -> bytes:
        """Serialize the report for the cache."""
        rows = [finding.plain() for finding in self.findings]
        unresolved = [tuple(item) for item in self.unresolved]
        return marshal.dumps((rows, self.comments, self.catalogue, self.flows, self.steps, self.cells, unresolved))

    @staticmethod
    def unpacked(data: bytes) -> Report:
        """Restore a report from `packed`."""
        rows, comments, catalogue, *rest = marshal.loads(data)  # noqa: S302 - our own cache
        if not rows:
            return Report([], comments, catalogue, [], *rest)
        from baton_lint.findings import Finding  # imports typing

        return Report([Finding.of(row) for row in rows], comments, catalogue, [], *rest)


class Session:
    r"""Checks a project, repeatedly if needed: files that did not change are not read again.

    An editor or a language server can use it: it puts the current text of each open file into `buffers`, and calls
        `run`.
    The project is then checked with those texts instead of the saved files.

    Args:
        folders: The folders to walk. Nothing outside is reported, but imports may lead there.
        root: The folder of the project.
        sources: Further folders from which imports start.
        is_excluded: Says whether the user excluded a path.
        excluded_in: Returns the same test for a nested folder with its own pyproject.toml.
        sources_in: Returns the folders from which imports start in such a folder.
        jobs: The most processes.
        extra: Further single files to check.
        buffers: The content of files that are not saved, by absolute path. They need not exist on disk.

    Example:
        >>> from baton_lint.session import Session
        >>> session = Session(["/shop"], "/shop")
        >>> source = b"from baton_dsl import Flow, step\n@step\ndef a(b: int) -> int: return b\nFlow('f', a)\n"
        >>> session.buffers["/shop/flows.py"] = source
        >>> [finding.message for finding in session.run().findings]
        ['step "a" has no upstream or input called "b"']
    """

    def __init__(
        self,
        folders: Iterable[str],
        root: str,
        *,
        sources: Iterable[str] = (),
        is_excluded: Callable[[str], bool] | None = None,
        excluded_in: Callable[[str], Callable[[str], bool] | None] | None = None,
        sources_in: Callable[[str], tuple[str, ...]] | None = None,
        jobs: int = 1,
        extra: Iterable[str] = (),
        buffers: dict[str, bytes] | None = None,
    ) -> None:
        self.folders = tuple(folders)
        self.root = root
        self.sources = tuple(sources)
        self.is_excluded = is_excluded
        self.excluded_in = excluded_in
        self.sources_in = sources_in
        self.jobs = jobs
        self.extra = tuple(extra)
        self.buffers = {} if buffers is None else buffers
        self._known = Cache()
        self._places: tuple[tuple[str, tuple[str, ...]], ...] = ()

    def run(self, cache_path: str | None = None, cache_key: str = "") -> Report:
        """Check the project.

        Args:
            cache_path: The cache file of the last run; None to use only what this session knows.
            cache_key: The key that the cache must have.
        """
        began = time.time_ns()
        cache = Cache.load(cache_path, cache_key) if cache_path else self._known
        walked = self._walk(with_stamps=not cache.is_empty)
        stamps, problems = walked.stamps, walked.problems
        if cache.report is not None and self._is_as_before(cache, stamps):
            report = Report.unpacked(cache.report)
            report.problems, report.left = problems, walked.left
            return report
        cache.unpack()
        facts, unreadable = self._look(cache, stamps)
        problems += [f"{visible(path)}: can't be read: {reason}" for path, reason in unreadable]
        failed = {path for path, _ in unreadable}
        cache.stamps = {
            path: mark if mark and max(mark[0], mark[1]) < began - SETTLED and path not in failed else None
            for path, mark in stamps.items()
        }
        cache.places = self._places
        report = self._check(cache, stamps, facts)
        report.problems, report.left = problems, walked.left
        cache.report = report.packed() if not problems else None
        if cache_path and not self.buffers:  # unsaved texts must not get into the cache
            cache.save(cache_path, cache_key)
        return report

    def flows(self) -> tuple[list[FlowSpec], Report]:
        """The flows of the project, to draw them, and a report without findings."""
        facts, cache, stamps, report = self._read()
        flows = list(self._analysis(cache, stamps, facts).flows)
        report.flows, report.steps = len(flows), sum(len(flow.steps) for flow in flows)
        return flows, report

    def importable(self) -> tuple[Importable, Report]:
        """The flows of the project with the import names of their steps, and a report without findings."""
        from baton_lint.program.importable import importable  # imported only if it is used
        from baton_lint.reporting import catalogue

        facts, cache, stamps, report = self._read()
        found = importable(self._project(cache, stamps, facts), facts)
        report.catalogue = catalogue()
        report.flows, report.steps = len(found.flows), sum(len(flow.steps) for flow, _ in found.flows)
        return found, report

    def _is_as_before(self, cache: Cache, stamps: dict[str, Stamp | None]) -> bool:
        return cache.knows(stamps) and cache.places == self._places and cache.holds_outside()

    def _read(self) -> tuple[dict[str, FileFacts], Cache, dict[str, Stamp | None], Report]:
        walked = self._walk(with_stamps=False)
        cache = Cache()
        facts, unreadable = self._look(cache, walked.stamps)
        problems = [*walked.problems, *(f"{visible(path)}: can't be read: {reason}" for path, reason in unreadable)]
        report = Report([], _comments(facts), {}, problems, 0, 0, _cells(facts))
        report.left = walked.left
        return facts, cache, walked.stamps, report

    def _walk(self, *, with_stamps: bool) -> Walked:
        walked = walk(self.folders, self.is_excluded, self.excluded_in, with_stamps=with_stamps)
        for path in self.extra:
            try:
                walked.stamps.setdefault(path, stamp(os.stat(path)))
            except OSError as error:
                walked.problems.append(f"{visible(path)}: can't be read: {error.strerror or error}")
        for path, data in self.buffers.items():
            walked.stamps[path] = (-1, -1, int.from_bytes(digest(path, data)[:8]) >> 1, len(data))
        sources = self.sources_in
        self._places = tuple((folder, sources(folder) if sources else ()) for folder in sorted(walked.projects))
        return walked

    def _look(
        self, cache: Cache, stamps: dict[str, Stamp | None]
    ) -> tuple[dict[str, FileFacts], list[tuple[str, str]]]:
        """The facts of every file that matters; only files that changed are read. Fills in stamps that are missing."""
        before = cache.stamps
        changed = [path for path, mark in stamps.items() if mark is None or before.get(path) != mark]
        as_before = stamps.keys() - changed if before else ()
        known = cache.facts if cache.digests else {}
        digests = {path: mark for path, mark in cache.digests.items() if path in as_before and mark in known}
        facts = {path: known[mark] for path, mark in digests.items()}
        needles = cache.needles
        scanned, unreadable, seen = self._scan(changed, needles, known, with_stamps=cache.is_empty)
        stamps |= {path: mark for path, mark in seen.items() if stamps[path] is None}
        while True:
            for path, mark, file in scanned:
                digests[path], facts[path] = mark, file
            if not facts:
                break
            from baton_lint.search.needles import needles_for  # only if a file matters

            wanted = needles_for(facts)
            if set(wanted) <= set(needles):
                break
            needles = tuple(dict.fromkeys((*needles, *wanted)))
            rest = [path for path in stamps if path not in facts]
            scanned, more, _ = self._scan(rest, needles, known)
            unreadable += [item for item in more if item not in unreadable]
            if not scanned:
                break
        cache.digests = digests
        cache.needles = needles
        cache.keep_facts({mark: facts[path] for path, mark in digests.items()})
        return dict(sorted(facts.items())), unreadable

    def _scan(
        self,
        paths: list[str],
        needles: tuple[Needle, ...],
        known: dict[bytes, FileFacts],
        *,
        with_stamps: bool = False,
    ) -> Scanned:
        saved = [path for path in paths if path not in self.buffers] if self.buffers else paths
        scanned = scan_all(saved, needles, known, self.jobs, _load_rules, with_stamps=with_stamps)
        for path in paths if self.buffers else ():
            data = self.buffers.get(path)
            if data is not None and matches(data, needles):
                mark = digest(path, data)
                scanned[0].append((path, mark, known.get(mark) or parse(path, data)))
        return scanned

    def _check(self, cache: Cache, stamps: dict[str, Stamp | None], facts: dict[str, FileFacts]) -> Report:
        if not facts:
            cache.outside, cache.probes = {}, {}
            return Report([], {}, {}, [], 0, 0, {})
        from baton_lint.reporting import catalogue, findings_of  # only if there is something to check

        analysis = self._analysis(cache, stamps, facts)
        steps = sum(len(flow.steps) for flow in analysis.flows)
        findings = findings_of(analysis)
        counted = (len(analysis.flows), steps)
        return Report(findings, _comments(facts), catalogue(), [], *counted, _cells(facts), analysis.unresolved)

    def _analysis(self, cache: Cache, stamps: dict[str, Stamp | None], facts: dict[str, FileFacts]) -> Analysis:
        from baton_lint.program.analysis import analyse  # imports the rules

        return analyse(self._project(cache, stamps, facts), facts)

    def _project(self, cache: Cache, stamps: dict[str, Stamp | None], facts: dict[str, FileFacts]) -> Project:
        """The modules of the project. Lookups outside of its folders are recorded in the cache."""
        from baton_lint.program.project import Files, Project

        outside: dict[str, Stamp] = {}
        known = cache.facts

        def load(path: str) -> FileFacts | None:
            """Load a file that an import leads to, even if it does not use baton."""
            if path in facts:
                return facts[path]
            if path in self.buffers:
                data = self.buffers[path]
            else:
                try:
                    with open(path, "rb") as file:
                        data = file.read(LARGEST)
                        mark = stamp(os.fstat(file.fileno()))
                except (OSError, ValueError):
                    return None
                if path not in stamps:
                    outside[path] = mark
            name = digest(path, data)
            if name not in known:
                known[name] = parse(path, data)
            return known[name]

        files = Files(stamps, self.folders, load)
        cache.outside, cache.probes = outside, files.probes  # both grow during the analysis
        return Project(files, self.root, self.sources, str, self._nearest)

    def _nearest(self, folder: str) -> tuple[str, ...]:
        """Where imports start in a nested project."""
        inside = [item for item in self._places if (folder + os.sep).startswith(item[0] + os.sep)]
        if not inside:
            return ()
        nearest, sources = max(inside, key=lambda item: len(item[0]))
        return (*sources, os.path.join(nearest, "src"), nearest)


def _comments(facts: dict[str, FileFacts]) -> dict[str, list[CommentFacts]]:
    return {path: file["comments"] for path, file in facts.items() if file["comments"]}


def _cells(facts: dict[str, FileFacts]) -> dict[str, list[tuple[int, int]]]:
    return {path: file["cells"] for path, file in facts.items() if "cells" in file}


def _load_rules() -> object:
    """Import what is needed after all files are read."""
    import baton_lint.reporting

    return baton_lint.reporting
