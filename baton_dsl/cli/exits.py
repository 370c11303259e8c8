"""The exit codes of `baton`."""

from enum import IntEnum

import click


class Exit(IntEnum):
    """The exit codes."""

    DONE = 0
    """Done. If the command waited for a workflow, it completed."""
    NOT_COMPLETED = 1
    """The workflow ended, but a step was cancelled or discarded; or new code can't finish some running workflows."""
    WRONG = 1
    """`doctor` found a problem; `install --check` found something to do."""
    USAGE = 2
    """Wrong usage: an argument, an input or the flow itself."""
    TIMEOUT = 3
    """The workflow did not end in time."""
    FAILED = 4
    """Anything else: no database, no tables, no such workflow."""
    THREADS_LOST = 5
    """A worker stopped so that it is started again: too many threads still run steps that timed out."""
    INTERRUPTED = 130
    """Ctrl-C: the exit code that shells use for it."""


class FailedError(click.ClickException):
    """A failure that is not a fault of the flow or the arguments, described in a sentence."""

    exit_code = Exit.FAILED
