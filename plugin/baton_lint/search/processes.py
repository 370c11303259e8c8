"""Read, search and parse many files, in as many processes as are worth it."""

from __future__ import annotations

import marshal
import os

from baton_lint.search.prefilter import Needle, scan

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from baton_lint.source.facts import FileFacts

ENOUGH = 64
"""Files that are worth another process: starting one costs as much as reading about so many."""

NOTEBOOK = ".ipynb"
"""How the name of a notebook ends."""

type Scanned = tuple[list[tuple[str, bytes, FileFacts]], list[tuple[str, str]]]
"""Path, digest and facts of each file that matters; and what can't be read, with the reason."""


def scan_all(
    paths: list[str],
    needles: tuple[Needle, ...],
    known: dict[bytes, FileFacts],
    jobs: int,
    meanwhile: Callable[[], object],
) -> Scanned:
    """The facts of all files that may have to do with baton.

    Forks, and marshals facts back: `multiprocessing` would take longer to import than all files to read.

    Args:
        paths: The files to look at.
        needles: What makes a file matter.
        known: Facts by digest of content, which need no parsing.
        jobs: How many processes at most.
        meanwhile: What to do while the other processes finish, if anything was found.
    """
    jobs = min(jobs, 1 + len(paths) // ENOUGH) if hasattr(os, "fork") else 1
    if jobs <= 1:
        return scan_some(paths, needles, known)
    shares = _shares(paths, jobs)
    children = [_fork(share, needles, known) for share in shares[1:]]
    facts, unreadable = scan_some(shares[0], needles, known)
    if facts:
        meanwhile()
    for (child, reader), share in zip(children, shares[1:], strict=True):
        received = _receive(child, reader)
        more, failed = scan_some(share, needles, known) if received is None else received
        facts += more
        unreadable += failed
    return facts, unreadable


def _shares(paths: list[str], jobs: int) -> list[list[str]]:
    """One share a process, files of all folders in each; the first is smaller, for its owner has more to do."""
    slices = [paths[start :: 10 * jobs] for start in range(10 * jobs)]
    shares: list[list[str]] = [[] for _ in range(jobs)]
    for number, part in enumerate(slices):
        shares[0 if number < 9 else 1 + number % (jobs - 1)] += part
    return shares


def scan_some(paths: list[str], needles: tuple[Needle, ...], known: dict[bytes, FileFacts]) -> Scanned:
    """The same for one process."""
    found: list[tuple[str, bytes, FileFacts]] = []

    def keep(path: str, data: bytes) -> None:
        mark = digest(path, data)
        found.append((path, mark, known.get(mark) or parse(path, data)))

    unreadable = scan(paths, needles, keep)
    return found, unreadable


def digest(path: str, data: bytes) -> bytes:
    """What tells one content from another, and a notebook from a module with the same bytes."""
    from hashlib import blake2b  # only if a file matters: most runs need no hashes

    return blake2b(data, digest_size=16, person=b"notebook" if path.endswith(NOTEBOOK) else b"").digest()


def parse(path: str, data: bytes) -> FileFacts:
    """The facts of one file."""
    if path.endswith(NOTEBOOK):
        from baton_lint.source.notebooks import extract_notebook

        return extract_notebook(data)
    from baton_lint.source.extracting import extract  # brings ast and the rules, which most runs don't need

    return extract(data)


def _fork(share: list[str], needles: tuple[Needle, ...], known: dict[bytes, FileFacts]) -> tuple[int, int]:
    reader, writer = os.pipe()
    child = os.fork()  # type: ignore[attr-defined,unused-ignore]  # not on Windows
    if child:
        os.close(writer)
        return child, reader
    status = 1
    try:  # the child: it must never return into the caller's stack
        os.close(reader)
        with open(writer, "wb") as pipe:
            pipe.write(marshal.dumps(scan_some(share, needles, known)))
        status = 0
    finally:
        os._exit(status)


def _receive(child: int, reader: int) -> Scanned | None:
    """What a child found; None if it died, so that its share is done here."""
    with open(reader, "rb") as pipe:
        data = pipe.read()
    _, status = os.waitpid(child, 0)
    if status != 0:
        return None
    received: Scanned = marshal.loads(data)  # noqa: S302 - our own child wrote it
    return received
