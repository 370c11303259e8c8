"""`make fuzz`: thousands of mutants, in several processes; the first of each fault is shown and shrunk."""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
import time
from pathlib import Path

from tests.fuzz.attempt import Failure, attempt
from tests.fuzz.mutate import mutant_of
from tests.fuzz.shrink import shrunk

CHUNK = 250
"""Mutants of one process: what one leaves behind is not left to all that follow."""


def main() -> int:
    """Run mutants; returns 1 if there is a fault."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--mutants", type=int, default=100_000)
    parser.add_argument("--first", type=int, default=0, help="the number of the first one")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    given = parser.parse_args()
    os.environ["XDG_CACHE_HOME"] = tempfile.mkdtemp()
    began = time.monotonic()
    failures = fuzz(range(given.first, given.first + given.mutants), given.seed, given.jobs)
    for signature, story in sorted(failures.items()):
        print(f"\n=== {signature}\n{story}")
    print(f"\n{given.mutants:,} mutants in {time.monotonic() - began:.0f} s, {len(failures)} faults")
    return 1 if failures else 0


def fuzz(numbers: range, seed: int, jobs: int) -> dict[str, str]:
    """The first failure of each signature, with its shrunk mutant."""
    base = Path("/dev/shm" if Path("/dev/shm").is_dir() else tempfile.gettempdir())  # memory, if any
    folder = Path(tempfile.mkdtemp(prefix="baton-fuzz-", dir=base))
    waiting = [numbers[start : start + CHUNK] for start in range(0, len(numbers), CHUNK)][::-1]
    running: dict[int, range] = {}
    found: dict[str, str] = {}
    while waiting or running:
        while waiting and len(running) < jobs:
            chunk = waiting.pop()
            child = os.fork()
            if not child:
                _work(chunk, seed, folder / str(chunk.start))
            running[child] = chunk
        child, status = os.wait()
        chunk = running.pop(child)
        place = folder / str(chunk.start)
        found |= _collect(place, status, chunk, found)
        shutil.rmtree(place, ignore_errors=True)
        done = len(numbers) - sum(len(item) for item in (*waiting, *running.values()))
        if done % (40 * CHUNK) < CHUNK:
            print(f"{done:,} of {len(numbers):,}, {len(found)} faults", file=sys.stderr, flush=True)
    shutil.rmtree(folder, ignore_errors=True)
    return found


def _work(chunk: range, seed: int, place: Path) -> None:
    """The child: it must never return into the caller's stack."""
    status = 3
    try:
        place.mkdir()
        known: set[str] = set()
        for number in chunk:
            (place / "number").write_text(str(number))
            mutant = mutant_of(seed, number)
            failure = attempt(mutant, place / "tree")
            if failure is not None and failure.signature not in known:
                known.add(failure.signature)
                _report(failure, f"mutant {number} of seed {seed}: {mutant}", place)
                smaller = shrunk(mutant, failure.signature, place / "tree")
                _report(failure, f"mutant {number} of seed {seed}, shrunk: {smaller}", place)
        status = 0
    except BaseException as error:  # noqa: BLE001 - told, and the process ends
        sys.stderr.write(f"{error!r}\n")
    finally:
        os._exit(status)


def _report(failure: Failure, told: str, place: Path) -> None:
    (place / f"{abs(hash(failure.signature))}.txt").write_text(
        f"{failure.signature}\n{told}\n{failure.story}", encoding="utf-8", errors="backslashreplace"
    )


def _collect(place: Path, status: int, chunk: range, known: dict[str, str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for path in place.glob("*.txt"):
        signature, _, story = path.read_text(encoding="utf-8").partition("\n")
        if signature not in known:
            found[signature] = story
            print(f"new: {signature}", file=sys.stderr, flush=True)
    if status:
        last = (place / "number").read_text() if (place / "number").exists() else str(chunk[0])
        found[f"the process died with status {status}"] = f"at mutant {last}"
    return found


if __name__ == "__main__":
    sys.exit(main())
