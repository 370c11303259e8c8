"""What a process costs: the time that passes and the CPU time that it uses, side by side with other processes."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from resource import RUSAGE_CHILDREN, getrusage
from statistics import median
from typing import NamedTuple

from tests.benchmarks.report import Row, at_most


class Cost(NamedTuple):
    """What one run of a command took.

    Attributes:
        elapsed: Seconds by the clock: what people wait. Other work on the machine makes it longer.
        cpu: CPU seconds of the process and of all processes that it started. Other work hardly changes them.
    """

    elapsed: float
    cpu: float


def cost(
    *command: str, folder: Path, environment: Mapping[str, str] | None = None, statuses: tuple[int, ...] = (0, 1)
) -> Cost:
    """Run a command in a folder to its end.

    Args:
        command: The program and its arguments.
        folder: Where it runs.
        environment: Its environment; None for our own.
        statuses: With which it may end; by default as `grep` does: something was found, or nothing.
    """
    before, start = getrusage(RUSAGE_CHILDREN), time.perf_counter()
    process = subprocess.run(command, cwd=folder, env=environment, capture_output=True, check=False)
    elapsed, after = time.perf_counter() - start, getrusage(RUSAGE_CHILDREN)
    assert process.returncode in statuses, process.stdout + process.stderr
    return Cost(elapsed, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)


def in_turns(rounds: int, *works: Callable[[], Cost]) -> list[list[Cost]]:
    """The costs of each work, round by round.

    The works take turns, and every round begins with another one: whatever else the machine does meets all of them.
    One more round comes first and is not counted; it fills the caches of the operating system.
    """
    costs: list[list[Cost]] = [[] for _ in works]
    for number in range(-1, at_most(rounds)):
        for step in range(len(works)):
            index = (number + step) % len(works)
            spent = works[index]()
            if number >= 0:
                costs[index].append(spent)
    return costs


def rows(work: str, measured: list[Cost], name: str, reference: list[Cost], *, elapsed: str, cpu: str) -> list[Row]:
    """Two lines of the table: what was waited for, and what was used.

    Args:
        work: What was done.
        measured: What it cost, round by round.
        name: What it is compared with.
        reference: What that cost, round by round.
        elapsed: The goal for the ratio of the times that passed.
        cpu: The goal for the ratio of the CPU seconds.
    """
    pairs = list(zip(measured, reference, strict=True))
    waited = Row(
        work=f"{work}, elapsed",
        measured=f"{median(ours.elapsed for ours in measured):.3f} s",
        reference=f"{name} {median(theirs.elapsed for theirs in reference):.3f} s",
        ratio=median(ours.elapsed / theirs.elapsed for ours, theirs in pairs),
        goal=elapsed,
    )
    return [waited, cpu_row(work, measured, name, reference, goal=cpu)]


def cpu_row(work: str, measured: list[Cost], name: str, reference: list[Cost], *, goal: str) -> Row:
    """The line for what was used: the least of all rounds, since other work on the machine can only add to it."""
    ours, theirs = min(each.cpu for each in measured), min(each.cpu for each in reference)
    return Row(
        work=f"{work}, CPU",
        measured=f"{ours:.3f} s",
        reference=f"{name} {theirs:.3f} s",
        ratio=ours / theirs,
        goal=goal,
    )


def with_bytecode(folder: Path) -> dict[str, str]:
    """Our environment, but bytecode is kept in a folder: whoever installs a package has it, a working copy may not."""
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    return {**kept, "PYTHONPYCACHEPREFIX": str(folder)}
