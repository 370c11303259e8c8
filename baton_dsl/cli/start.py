"""The entry point of `baton`: if a package is missing, it says how to install it."""

from __future__ import annotations

import sys

from baton_dsl import extras


def main() -> None:
    """Run the command, the console script `baton`."""
    try:
        from baton_dsl.cli import main as command_line  # imports click, which comes with an extra
    except ImportError as error:
        explained = extras.explain(error)
        if explained is None:
            raise
        sys.stderr.write(f"Error: {explained.code}: {explained.message}\n  help: {explained.remedy}\n")
        sys.exit(4)  # the value of `Exit.FAILED`, which can't be imported without click
    command_line.main()
