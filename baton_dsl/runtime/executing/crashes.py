"""Limit how often the process of a step may die, and run steps alone that may not crash again.

Whoever kills its process takes along what runs beside it. So of the steps of a process that may bear no further crash,
one runs at a time: the one that kills the process is the only one that is discarded for it.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Final

from baton_dsl.runtime.values.names import MAX_CRASHES

if TYPE_CHECKING:
    from oban import Job

RESCUED: Final = "rescued"
"""The key that counts them: Oban's own lifeline counts there too, and leaves steps to `baton_rescue`."""


def may_bear_no_more(job: Job) -> bool:
    """True if a process has died under a job before, and the next crash would discard it.

    Examples:
        >>> from oban import Job
        >>> jobs = [Job(worker="x", max_attempts=3 + crashes, meta={"rescued": crashes}) for crashes in range(3)]
        >>> [may_bear_no_more(job) for job in jobs]
        [False, False, True]
        >>> may_bear_no_more(Job(worker="x", max_attempts=4, meta={"rescued": 1, "baton_max_crashes": 9}))
        False
    """
    crashes = int(job.meta.get(RESCUED, 0))
    most = int(job.meta.get(MAX_CRASHES, job.max_attempts - crashes))  # each crash has given one more attempt
    return crashes > 0 and crashes + 1 >= most


class Apart:
    """Lets one of those steps run at a time.

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
        """Take the place; False if it is taken."""
        if self._is_taken:
            return False
        self._is_taken = True
        return True

    def leave(self) -> None:
        """Free the place."""
        self._is_taken = False


def pause() -> int:
    """Seconds before a step asks again whether it may run apart."""
    return random.randint(1, 3)  # noqa: S311 - no secret
