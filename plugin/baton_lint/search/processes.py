"""Read, search and parse many files, in several processes if that is faster."""

from __future__ import annotations

import marshal
import os

from baton_lint.search.prefilter import Needle, scan

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from baton_lint.search.folders import Stamp
    from baton_lint.source.facts import FileFacts

ENOUGH = 64
"""The number of files for which another process is started: reading so many takes as long as starting it."""

NOTEBOOK = ".ipynb"
"""The ending of a notebook's name."""

type Scanned = tuple[list[tuple[str, bytes, FileFacts]], list[tuple[str, str]], dict[str, Stamp]]
"""Path, digest and facts of each file that matters; the files that can't be read, with the reason; and stamps."""


def scan_all(
    paths: list[str],
    needles: tuple[Needle, ...],
    known: dict[bytes, FileFacts],
    jobs: int,
    meanwhile: Callable[[], object],
    *,
    with_stamps: bool = False,
) -> Scanned:
    """The facts of all files that may use baton.

    It forks, and gets the facts back with marshal: importing `multiprocessing` would take longer than reading all
        files.

    Args:
        paths: The files.
        needles: The needles that find files that matter.
        known: Known facts by digest of the content, which saves parsing.
        jobs: The most processes.
        meanwhile: Called while the other processes finish, if anything was found.
        with_stamps: Whether the stamp of each file is wanted.
    """
    jobs = min(jobs, 1 + len(paths) // ENOUGH) if hasattr(os, "fork") else 1
    if jobs <= 1:
        return scan_some(paths, needles, known, with_stamps=with_stamps)
    shares = _shares(paths, jobs)
    children = [_fork(share, needles, known, with_stamps=with_stamps) for share in shares[1:]]
    facts, unreadable, stamps = scan_some(shares[0], needles, known, with_stamps=with_stamps)
    if facts:
        meanwhile()
    for (child, reader), share in zip(children, shares[1:], strict=True):
        received = _receive(child, reader)
        if received is None:
            received = scan_some(share, needles, known, with_stamps=with_stamps)
        facts += received[0]
        unreadable += received[1]
        stamps |= received[2]
    return facts, unreadable, stamps


def _shares(paths: list[str], jobs: int) -> list[list[str]]:
    """Split the files into one share per process, from all folders each. The first, for this process, is smaller."""
    slices = [paths[start :: 10 * jobs] for start in range(10 * jobs)]
    shares: list[list[str]] = [[] for _ in range(jobs)]
    for number, part in enumerate(slices):
        shares[0 if number < 9 else 1 + number % (jobs - 1)] += part
    return shares


def scan_some(
    paths: list[str], needles: tuple[Needle, ...], known: dict[bytes, FileFacts], *, with_stamps: bool = False
) -> Scanned:
    """The same for one process."""
    found: list[tuple[str, bytes, FileFacts]] = []
    stamps: dict[str, Stamp] = {}

    def keep(path: str, data: bytes) -> None:
        mark = digest(path, data)
        found.append((path, mark, known.get(mark) or parse(path, data)))

    unreadable = scan(paths, needles, keep, stamps if with_stamps else None)
    return found, unreadable, stamps


def digest(path: str, data: bytes) -> bytes:
    """The digest of a content, which also distinguishes a notebook from a module with the same bytes."""
    from hashlib import blake2b  # only if a file matters: most runs need no hashes

    return blake2b(data, digest_size=16, person=b"notebook" if path.endswith(NOTEBOOK) else b"").digest()


def parse(path: str, data: bytes) -> FileFacts:
    """The facts of one file."""
    if path.endswith(NOTEBOOK):
        from baton_lint.source.notebooks import extract_notebook

        return extract_notebook(data)
    from baton_lint.source.extracting import extract  # imports ast and the rules, which most runs don't need

    return extract(data)


def _fork(
    share: list[str], needles: tuple[Needle, ...], known: dict[bytes, FileFacts], *, with_stamps: bool
) -> tuple[int, int]:
    reader, writer = os.pipe()
    child = os.fork()  # type: ignore[attr-defined,unused-ignore]  # not on Windows
    if child:
        os.close(writer)
        return child, reader
    status = 1
    try:  # the child: it must never return into the caller's stack
        os.close(reader)
        with open(writer, "wb") as pipe:
            pipe.write(marshal.dumps(scan_some(share, needles, known, with_stamps=with_stamps)))
        status = 0
    finally:
        os._exit(status)


def _receive(child: int, reader: int) -> Scanned | None:
    """Receive the results of a child; None if it died, so that its share must be done here."""
    with open(reader, "rb") as pipe:
        data = pipe.read()
    _, status = os.waitpid(child, 0)
    if status != 0:
        return None
    received: Scanned = marshal.loads(data)  # noqa: S302 - written by our own child
    return received
