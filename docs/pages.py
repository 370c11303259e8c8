"""Write the reference pages that come from the code: `python docs/pages.py`. A test compares them."""

import inspect
import os
import tomllib
from pathlib import Path

import click
from baton_lint.arguments import USAGE

from baton_dsl import errors
from baton_dsl.cli.main import COMMANDS, cli
from baton_dsl.core.reasons import REASONS
from baton_dsl.core.rules import CATALOGUE
from baton_dsl.core.rules.rule import Door, Rule

DOCS = Path(__file__).parent
NAMES = ["-h", "--help"]
WRITTEN = "<!-- Written by docs/pages.py from the code; change it there. -->"

RULES = """\
Each rule finds one kind of mistake in a flow. The codes and messages are the same everywhere: in the `FlowError` of
`flow.validate()` and `flow.insert()`, which contains all findings, in `baton graph`, in `baton-lint` and in mypy. For
errors that only show when something runs, see [errors](errors.md)."""
EXCEPTIONS = """\
Every exception is a `baton_dsl.errors.BatonError` with a `code`, a `message`, a `remedy` and a `url`. `FlowError`, and
its subclass `InputError`, contain all `diagnostics` of a flow; their codes are those of the [rules](rules.md). If
`insert` raises, it has written nothing.

BTN4xx are raised by calls, and BTN6xx by tests. BTN5xx end a step; you see them as its error in `workflow.nodes()` and
`baton status`. Some codes belong to no exception. They say why a node ended without an error of its own:

| code | why the node ended |
|---|---|"""


def rules() -> str:
    """Every rule in a line, with a link to its own page."""
    rows = "\n".join(("| code | name | catches | found by |", "|---|---|---|---|", *map(_row, CATALOGUE.values())))
    return "\n\n".join(("# Rules", WRITTEN, RULES, rows)) + "\n"


def _row(rule: Rule) -> str:
    doors = ", ".join(door.value for door in Door if door in rule.doors)
    return f"| [{rule.code}](../rules/{rule.code}.md) | {rule.slug} | {rule.summary} | {doors} |"


def exceptions() -> str:
    """Every exception with its code and remedy."""
    found = [
        value
        for value in vars(errors).values()
        if inspect.isclass(value) and issubclass(value, errors.BatonError) and "code" in vars(value)
    ]
    found = sorted((it for it in found if it is not errors.BatonError), key=lambda it: it.code)
    lines = [
        "# Errors",
        WRITTEN,
        "\n".join((EXCEPTIONS, *(f"| {code} | {meaning} |" for code, meaning in REASONS.items()))),
    ]
    for error in found:
        lines.append(f"## {error.code}\n\n**{error.__name__}**. {inspect.cleandoc(error.__doc__ or '')}")
        if error.default_remedy:
            lines.append(f"What to do: {error.default_remedy}.")
    return "\n\n".join(lines) + "\n"


def command_line() -> str:
    """The help of every command."""
    os.environ |= {"COLUMNS": "100", "NO_COLOR": "1"}
    context = click.Context(cli, info_name="baton", terminal_width=100, help_option_names=NAMES)
    lines = ["# Command line", WRITTEN, _help(cli, context)]
    for name in COMMANDS:
        command = cli.get_command(context, name)
        assert command is not None
        lines += [
            f"## baton {name}",
            _help(command, click.Context(command, context, name, terminal_width=100, help_option_names=NAMES)),
        ]
    return "\n\n".join(lines) + "\n"


def _help(command: click.Command, context: click.Context) -> str:
    return f"```text\n{command.get_help(context).rstrip()}\n```"


LINT = """\
[Check flows before they run](../how-to/lint.md) shows how to use it in pre-commit, CI and editors. [Rules](rules.md)
lists what it finds.

Findings go to the standard output, everything else to the error stream. With `--format json` each finding is an
object with `path`, `line`, `column`, `end_line`, `end_column`, `code`, `slug`, `message`, `help`, `url`, `flow` and
`step`, and in a notebook `cell`. Lines and columns start at 1, columns count characters, and the end is exclusive.
Characters of a file name that can't be printed, or are no UTF-8, are escaped (`caf\\xe9.py`). SARIF has them unescaped
in its URIs."""


def lint() -> str:
    """The help of baton-lint."""
    return "\n\n".join(("# baton-lint", WRITTEN, LINT, f"```text\n{USAGE.rstrip()}\n```")) + "\n"


COLUMNS = (("baton_dsl", "imports point down"), ("baton_dsl.runtime", "the rooms of the runtime"))
"""The contracts of import-linter that are drawn side by side."""
WIDTH, ROW = 340, 40


def layers() -> str:
    """The layers of the packages, drawn from the contracts in pyproject.toml: a row a layer, the highest on top."""
    project = tomllib.loads((DOCS.parent / "pyproject.toml").read_text(encoding="utf-8"))
    contracts = {it["name"]: it for it in project["tool"]["importlinter"]["contracts"]}
    columns = [(title, contracts[name]["layers"]) for title, name in COLUMNS]
    height = 40 + ROW * max(len(rows) for _, rows in columns)
    lines = [
        (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {2 * WIDTH} {height}" role="img" '
            'font-family="system-ui, sans-serif" font-size="14">'
        ),
        "<!-- Written by docs/pages.py from pyproject.toml; change it there. -->",
        "<title>The layers of baton_dsl, and of its runtime: imports only point down</title>",
        (
            "<style>rect { fill: #eef0fb; stroke: #5c6bc0 } .room rect { fill: #e8f3e9; stroke: #5a9a5e } "
            "text { text-anchor: middle; fill: #222 } .title { fill: #888; font-weight: bold }</style>"
        ),
    ]
    for number, (title, rows) in enumerate(columns):
        left = number * WIDTH + 10
        lines.append(f'<text class="title" x="{left + (WIDTH - 20) // 2}" y="24">{title}</text>')
        lines.append('<g class="room">' if number else "<g>")
        for row, layer in enumerate(rows):
            names = [name.strip(" ()") for name in layer.split("|")]
            wide = (WIDTH - 20) // len(names)
            for place, name in enumerate(names):
                x, y = left + place * wide, 38 + row * ROW
                lines.append(f'<rect x="{x}" y="{y}" width="{wide - 6}" height="30" rx="5"/>')
                lines.append(f'<text x="{x + (wide - 6) // 2}" y="{y + 20}">{name}</text>')
        lines.append("</g>")
    return "\n".join([*lines, "</svg>"]) + "\n"


PAGES = {
    "reference/rules.md": rules,
    "reference/errors.md": exceptions,
    "reference/command-line.md": command_line,
    "reference/baton-lint.md": lint,
    "images/layers.svg": layers,
}

if __name__ == "__main__":
    for name, page in PAGES.items():
        (DOCS / name).write_text(page(), encoding="utf-8")
