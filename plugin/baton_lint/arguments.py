"""Parse the command line, without argparse, whose import takes longer than most runs."""

from __future__ import annotations

import os

FORMATS = ("text", "full", "json", "sarif", "github")
DRAWINGS = ("mermaid", "dot")

USAGE = """\
baton-lint: check whole flows from source, without importing it

usage: baton-lint [PATH ...] [options]     check these folders and files; default: the current folder
       baton-lint - [options]              check the text on the standard input [--stdin-filename PATH]
       baton-lint explain CODE ...         explain a rule: why it exists, and examples
       baton-lint rules                    list all rules
       baton-lint graph [PATH ...]         draw the flows as understood [--format mermaid|dot] [--flow NAME]
       baton-lint types [PATH ...]         check every edge with a type checker
                                           --checker mypy|pyright|ty|pyrefly [--python PYTHON]
       baton-lint emit [PATH ...]          write every edge as a call, for another checker [--output FILE]

what is checked:
  --select RULES          only these rules: codes, slugs, beginnings of codes, or ALL; separated by commas
  --extend-select RULES   these rules too, such as those that are off by default
  --ignore RULES          not these rules
  --exclude PATTERNS      leave out files and folders
  --stdin-filename PATH   the file that the text on the standard input replaces
  --strict                also report what could not be checked, and why

what is fixed:
  --fix                   apply safe fixes
  --unsafe-fixes          also apply fixes that may change the meaning
  --diff                  show what --fix would change, and change nothing

how it is reported:
  --format FORMAT         text (default), full, json, sarif or github
  --statistics            the number of findings of each rule
  --quiet                 print only findings

how it runs:
  --jobs N                number of processes; default: one for each processor
  --cache-dir FOLDER      default: .baton_cache beside pyproject.toml
  --no-cache              neither read nor write the cache
  --version, --help

With -, --fix and --unsafe-fixes write the fixed text to the standard output, and findings to the error stream.

exit status: 0 nothing found, 1 findings, 2 wrong usage or a file that can't be read
"""

COMMANDS = ("check", "explain", "rules", "graph", "types", "emit")
_LISTS = ("--select", "--extend-select", "--ignore", "--exclude")
_VALUES = ("--format", "--jobs", "--cache-dir", "--flow", "--checker", "--python", "--output", "--stdin-filename")
_FLAGS = (
    "--strict",
    "--fix",
    "--unsafe-fixes",
    "--diff",
    "--statistics",
    "--quiet",
    "--no-cache",
    "--version",
    "--help",
)


class UsageError(Exception):
    """An error in the command line, described in a sentence."""


class Arguments:
    """The parsed command line."""

    def __init__(self) -> None:
        self.command = "check"
        self.paths: list[str] = []
        self.select: list[str] | None = None
        self.extend_select: list[str] = []
        self.ignore: list[str] = []
        self.exclude: list[str] = []
        self.format: str | None = None
        self.flow: str | None = None
        self.checker: str | None = None
        self.python: str | None = None
        self.output: str | None = None
        self.stdin_filename: str | None = None
        self.jobs: int | None = None
        self.cache_dir: str | None = None
        self.flags: set[str] = set()

    def has(self, flag: str) -> bool:
        """Whether a flag such as `--fix` was given."""
        return flag in self.flags

    @staticmethod
    def of(given: list[str]) -> Arguments:
        """Parse a command line.

        Raises:
            UsageError: If it is wrong.
        """
        arguments = Arguments()
        rest = list(given)
        if rest and rest[0] in COMMANDS:
            arguments.command = rest.pop(0)
        while rest:
            word = rest.pop(0)
            if word == "--":
                arguments.paths += rest
                break
            if not word.startswith("-") or word == "-":
                arguments.paths.append(word)
                continue
            name, equals, value = word.partition("=")
            name = {"-h": "--help", "-q": "--quiet", "-V": "--version", "-j": "--jobs"}.get(name, name)
            if name in _FLAGS and not equals:
                arguments.flags.add(name)
            elif name in (*_LISTS, *_VALUES):
                if not equals:
                    if not rest:
                        raise UsageError(f"{name} needs a value")
                    value = rest.pop(0)
                arguments._set(name, value)
            else:
                raise UsageError(f"there is no option {word}; baton-lint --help lists them")
        arguments._check()
        return arguments

    def _set(self, name: str, value: str) -> None:
        if name in _LISTS:
            items = [item.strip() for item in value.split(",") if item.strip()]
            attribute = name[2:].replace("-", "_")
            setattr(self, attribute, [*(getattr(self, attribute) or []), *items])
        elif name == "--jobs":
            if not value.isdecimal() or len(value) > 6 or int(value) < 1:
                raise UsageError(f"--jobs must be a whole number from 1, got {value}")
            self.jobs = int(value)
        else:
            setattr(self, name[2:].replace("-", "_"), value)

    def _check(self) -> None:
        if self.has("--help"):
            return
        formats = DRAWINGS if self.command == "graph" else FORMATS
        if self.format is not None and self.format not in formats:
            raise UsageError(f"--format must be one of {', '.join(formats)}, got {self.format}")
        if self.stdin_filename is not None and self.paths != ["-"]:
            raise UsageError(
                "--stdin-filename names the text on the standard input: baton-lint - --stdin-filename PATH"
            )
        if self.stdin_filename is not None and not os.path.basename(self.stdin_filename):
            raise UsageError(f"--stdin-filename must be the path of a file, got {self.stdin_filename}")
        if self.command == "types" and self.checker is None:
            raise UsageError("types needs --checker mypy, pyright, ty or pyrefly")
