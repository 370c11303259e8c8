"""The exit codes of `baton`."""

from enum import IntEnum

import click


class Exit(IntEnum):
    """The exit codes."""

    DONE = 0
    """Done; a workflow that was waited for completed."""
    NOT_COMPLETED = 1
    """The workflow ended, but a step was cancelled or discarded; or new code can't finish some that are in flight."""
    WRONG = 1
    """The doctor found something wrong; `install --check` found something to do."""
    USAGE = 2
    """Wrong usage: an argument, an input or the flow itself."""
    TIMEOUT = 3
    """The workflow did not end in time."""
    FAILED = 4
    """Anything else: no database, no tables, no such workflow."""
    THREADS_LOST = 5
    """A worker has left to be started again: too many steps that timed out keep a thread."""
    INTERRUPTED = 130
    """Ctrl-C, as shells count it."""


class FailedError(click.ClickException):
    """What went wrong outside of the flow and the arguments, in a sentence."""

    exit_code = Exit.FAILED
