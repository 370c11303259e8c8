"""Write a rule as a page, for `baton-lint explain` and `docs/rules/`."""

from __future__ import annotations

from collections.abc import Sequence

from baton_dsl.core.rules import CATALOGUE, Door, Example, Rule

DOORS = {Door.LIVE: "`validate()` and `insert()` at run time", Door.TEXT: "`baton-lint`", Door.TYPES: "the mypy plugin"}


def page(rule: Rule) -> str:
    """The page of one rule, in Markdown."""
    seen = [DOORS[door] for door in Door if door in rule.doors]
    parts = [
        f"# {rule.code} {rule.slug}",
        f"Catches: {rule.summary}.",
        rule.why,
        f"Found by {_listed(seen)}."
        + ("" if rule.by_default else " Off by default: `--extend-select " + rule.code + "`."),
        "## Wrong",
        *(_example(example) for example in rule.bad),
        "## Right",
        *(_example(example) for example in rule.good),
    ]
    return "\n\n".join(parts) + "\n"


def index() -> str:
    """The page that lists all rules."""
    rows = [f"| [{rule.code}]({rule.code}.md) | {rule.slug} | {rule.summary} |" for rule in CATALOGUE.values()]
    return "\n".join(
        [
            "# Rules",
            "",
            "1xx are about the shape of a flow, 2xx about its edges, 3xx about signatures, 9xx about the tool. These",
            "pages come from the rules: `python -m baton_lint.pages docs/rules` writes them.",
            "",
            "| code | slug | catches |",
            "|---|---|---|",
            *rows,
            "",
        ]
    )


def pages() -> dict[str, str]:
    """Every page by its file name."""
    return {"index.md": index(), **{f"{code}.md": page(rule) for code, rule in CATALOGUE.items()}}


def _example(example: Example) -> str:
    block = f"```py\n{example.source}```"
    if not example.finds:
        return block
    return f"{block}\n\n```text\n" + "\n".join(f"flows.py:{found}" for found in example.finds) + "\n```"


def _listed(items: Sequence[str]) -> str:
    return items[0] if len(items) == 1 else f"{', '.join(items[:-1])} and {items[-1]}"


if __name__ == "__main__":
    import sys
    from pathlib import Path

    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in pages().items():
        (folder / name).write_text(text, encoding="utf-8")
