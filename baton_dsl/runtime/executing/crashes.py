"""Limit how often the process of a step may die, and run steps on their last crash one at a time.

A step that kills its process also interrupts all other steps in it. So of the steps that the next crash would discard,
a process runs only one at a time: then only the step that kills the process is discarded.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Final

from baton_dsl.runtime.values.names import MAX_CRASHES

if TYPE_CHECKING:
    from oban import Job

RESCUED: Final = "rescued"
"""The key in `meta` that counts crashes. Oban's own lifeline uses it too, but leaves steps to `baton_rescue`."""


def may_bear_no_more(job: Job) -> bool:
    """True if the process of a job has died before, and the next crash would discard the job.

    Examples:
        >>> from oban import Job
        >>> jobs = [Job(worker="x", max_attempts=3 + crashes, meta={"rescued": crashes}) for crashes in range(3)]
        >>> [may_bear_no_more(job) for job in jobs]
        [False, False, True]
        >>> may_bear_no_more(Job(worker="x", max_attempts=4, meta={"rescued": 1, "baton_max_crashes": 9}))
        False
    """
    crashes = int(job.meta.get(RESCUED, 0))
    most = int(job.meta.get(MAX_CRASHES, job.max_attempts - crashes))  # each crash has added one to max_attempts
    return crashes > 0 and crashes + 1 >= most


class Apart:
    """Lets one such step run at a time.

    Examples:
        >>> apart = Apart()
        >>> apart.enter(), apart.enter()
        (True, False)
        >>> apart.leave()
        >>> apart.enter()
        True
    """

    def __init__(self) -> None:
        self._is_taken = False

    def enter(self) -> bool:
        """Take the place. Return False if another step has it."""
        if self._is_taken:
            return False
        self._is_taken = True
        return True

    def leave(self) -> None:
        """Free the place."""
        self._is_taken = False


def pause() -> int:
    """Seconds before a step tries again to run apart."""
    return random.randint(1, 3)  # noqa: S311 - not a secret
