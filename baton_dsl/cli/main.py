"""The command `baton`: its subcommands, and how it reports their errors."""

from __future__ import annotations

import importlib
import io
import logging
import os
import signal
import sys
from collections.abc import Sequence
from typing import Final

import click

from baton_dsl import extras
from baton_dsl.cli import terminal
from baton_dsl.cli.exits import Exit
from baton_dsl.core.diagnostics import did_you_mean
from baton_dsl.core.wording import suggestion_after
from baton_dsl.errors import BatonError, FlowError
from baton_dsl.version import __version__

COMMANDS: Final = {
    "demo": "Audit this Python environment with a workflow.",
    "graph": "Draw a flow: in the terminal, as Mermaid or for Graphviz.",
    "install": "Create or update the tables in a database.",
    "worker": "Run the steps of workflows.",
    "run": "Insert a workflow, follow it, and print its results.",
    "test": "Run a workflow in memory, without a database.",
    "status": "Show the progress of a workflow.",
    "show": "Show the inputs, results and attempts of a workflow or a step.",
    "why": "Explain what a workflow or step is waiting for, or why it ended.",
    "list": "List workflows.",
    "usage": "Show what calls of models have used and cost.",
    "debug": "Show what a step sent to models and what came back.",
    "cost": "Show the most that a flow can cost.",
    "queues": "List the queues: what waits, for how long, and who runs it.",
    "queue": "Pause a queue, or let it run again.",
    "nodes": "List the processes that run steps.",
    "cancel": "Cancel every step that has not started.",
    "retry": "Retry failed steps, or everything from one step onward.",
    "pause": "Pause workflows: no further step starts.",
    "resume": "Resume paused workflows.",
    "approve": "Set the budget of a workflow.",
    "rerun": "Insert workflows again, with their old inputs.",
    "prune": "Remove workflows that ended long ago.",
    "web": "Serve the dashboard.",
    "doctor": "Check the database, and suggest how to fix problems.",
    "check-deploy": "List the running workflows that new code can't finish.",
}
"""Each command is `baton_dsl.cli.<name>.command`, with `_` for a dash. Its summary stands here, so that `--help`
imports no command, and so no driver."""


class Commands(click.Group):
    """A group that imports a command only when it is used."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names of the commands, in the order in which a newcomer meets them."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import a command."""
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = importlib.import_module(f"baton_dsl.cli.{cmd_name.replace('-', '_')}").command
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command that the arguments begin with, or fail with a suggestion."""
        if args[0] not in COMMANDS and not ctx.resilient_parsing:
            nearest = did_you_mean(args[0], COMMANDS)
            ctx.fail(f'there is no command "{args[0]}"' + suggestion_after(nearest))
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="baton")
@click.pass_context
def cli(context: click.Context) -> None:
    """Typed DAG workflows on Oban and PostgreSQL.

    Without --dsn, BATON_DSN or OBAN_DSN, baton runs an embedded PostgreSQL, with its data in .baton/ in this folder.

    \b
    Exit codes:
      0  done, or the workflow completed
      1  the workflow ended, but a step was cancelled or discarded; or a check found a problem
      2  wrong usage: an argument, an input or the flow itself
      3  the workflow did not end in time
      4  anything else: no database, no tables, no such workflow
      5  too many threads of a worker still run steps that timed out: start it again
    """
    if os.environ.get("NO_COLOR"):  # click does not look
        context.color = False


def main() -> None:
    """Run the command of `sys.argv`, and end the process."""
    signal.signal(signal.SIGTERM, _leave)
    if logging.lastResort is not None:  # the handler for records where no logging is set up
        logging.lastResort.setFormatter(terminal.Formatter())
    sys.exit(run(sys.argv[1:]))


def _leave(number: int, _frame: object) -> None:
    """Turn the signal into an exception, as Ctrl-C does, so that the embedded server is stopped too."""
    sys.exit(128 + number)


def run(arguments: Sequence[str]) -> int:
    """Run a command, and print its errors as sentences.

    Args:
        arguments: The command line, without the program's name.

    Returns:
        The exit code.
    """
    try:
        code = cli.main(list(arguments), prog_name="baton", standalone_mode=False)
    except click.ClickException as error:
        shown = io.StringIO()
        error.show(shown)
        terminal.echo(shown.getvalue().removesuffix("\n"), err=True)
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        return Exit.INTERRUPTED
    except BrokenPipeError:  # the reader, such as `head`, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return Exit.FAILED
    except FlowError as error:
        for finding in error.diagnostics:
            terminal.echo(finding.explain(), err=True)
        for note in getattr(error, "__notes__", ()):
            terminal.echo(note, err=True)
        return Exit.USAGE
    except BatonError as error:
        return _told(error)
    except ImportError as error:
        if explained := extras.explain(error):
            return _told(explained)
        raise
    return int(code or Exit.DONE)


def _told(error: BatonError) -> int:
    """Print an error and what to do about it. Return the exit code."""
    terminal.echo(f"Error: {error.code}: {error.message}", err=True)
    if error.remedy:
        terminal.echo(f"  help: {error.remedy}", err=True)
    return Exit.TIMEOUT if isinstance(error, TimeoutError) else Exit.FAILED
