"""The documentation as a whole: generated pages are up to date, and no link is broken."""

import importlib.util
import re
import tomllib
from pathlib import Path

import pytest

from baton_dsl import errors
from baton_dsl.cli.main import COMMANDS
from baton_dsl.core import defaults
from baton_dsl.core.rules import CATALOGUE
from baton_dsl.core.rules.option import CHECKS
from baton_dsl.flow_options import FlowOptions
from baton_dsl.runtime.sql import pieces
from baton_dsl.step import StepOptions
from tests.docs.test_code_blocks import PAGES, ROOT


def _pages() -> dict[str, str]:
    spec = importlib.util.spec_from_file_location("baton_docs_pages", ROOT / "docs" / "pages.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return {name: page() for name, page in module.PAGES.items()}


def test_pages_written_from_the_code_are_up_to_date() -> None:
    for name, text in _pages().items():
        assert (ROOT / "docs" / name).read_text() == text, f"run: python docs/pages.py ({name})"


def test_every_code_is_told() -> None:
    told = "".join((ROOT / "docs" / "reference" / name).read_text() for name in ("rules.md", "errors.md"))
    headings = re.findall(r"^(?:## |\| \[)(BTN\d+)\b", told, re.MULTILINE)
    classes = [it for it in vars(errors).values() if isinstance(it, type) and issubclass(it, errors.BatonError)]
    codes = {error.code for error in classes if "code" in vars(error)}
    assert sorted(headings) == sorted({*CATALOGUE, *codes} - {"BTN400"})


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_no_link_leads_nowhere(page: Path) -> None:
    text = re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", text):
        if not target.startswith("http"):
            assert (page.parent / target).exists(), target


def test_every_extra_is_told() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    told = (ROOT / "docs" / "reference" / "options.md").read_text().partition("\n## Extras\n")[2]
    assert sorted(re.findall(r"^\| `([\w-]+)` \|", told, re.MULTILINE)) == sorted(extras)


def test_the_oldest_postgresql_is_the_one_that_an_install_accepts() -> None:
    oldest = pieces.OLDEST_POSTGRES
    assert f"PostgreSQL {oldest} to " in (ROOT / "README.md").read_text()
    assert f"needs PostgreSQL {oldest} or newer" in (ROOT / "docs/how-to/migrate.md").read_text()


def test_every_option_is_in_the_reference() -> None:
    text = (ROOT / "docs" / "reference" / "options.md").read_text()
    steps, _, rest = text.partition("\n## Step options\n")[2].partition("\n## Flow options\n")
    flows = rest.partition("\n## ")[0]
    for kind, options, part in (("step", StepOptions, steps), ("flow", FlowOptions, flows)):
        told = {
            name for cell in re.findall(r"^\| (`.+?) \|", part, re.MULTILINE) for name in re.findall(r"`(\w+)`", cell)
        }
        missing = sorted(options.__optional_keys__ - told)
        assert not missing, f"docs/reference/options.md lacks these options of a {kind}: {missing}; add a row for each"
        assert not told - options.__optional_keys__, (
            f"docs/reference/options.md has options that no {kind} has any more"
        )
    assert {*StepOptions.__optional_keys__} == {*CHECKS}, "core/rules/option.py must check the options of StepOptions"


def test_the_defaults_of_options_are_the_ones_that_hold() -> None:
    text = (ROOT / "docs" / "reference" / "options.md").read_text()
    shown = dict(re.findall(r"^\| `(\w+)` \|.* \| `?(\w+)`? \|$", text, re.MULTILINE))
    holding = {
        "queue": defaults.QUEUE,
        "hook_queue": defaults.QUEUE,
        "max_attempts": defaults.MAX_ATTEMPTS,
        "priority": defaults.PRIORITY,
        "max_items": defaults.MAX_ITEMS,
    }
    assert {name: shown[name] for name in holding} == {name: str(value) for name, value in holding.items()}


def test_every_command_is_in_the_reference() -> None:
    modules = {path.stem for path in (ROOT / "baton_dsl" / "cli").glob("*.py") if has_command(path)}
    listed = {name.replace("-", "_") for name in COMMANDS}
    assert modules == listed, f"name these commands in COMMANDS of cli/main.py: {sorted(modules - listed)}"
    text = (ROOT / "docs" / "reference" / "command-line.md").read_text()
    missing = [name for name in COMMANDS if f"\n## baton {name}\n" not in text]
    assert not missing, f"the reference lacks these commands: {missing}; run: python docs/pages.py"


def has_command(path: Path) -> bool:
    return bool(re.search(r"^(async )?def command\(", path.read_text(), re.MULTILINE))
