"""Read from `[tool.baton]` in pyproject.toml which rules to check.

```toml
[tool.baton]
ignore = ["BTN203", "baton-shadowed-default", "BTN3"]
```

mypy's own `disable_error_code` accepts no codes of plugins, because it is read before plugins are loaded.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final, NamedTuple

from baton_dsl.core.diagnostics import did_you_mean
from baton_dsl.core.rules import CATALOGUE, Door
from baton_dsl.core.wording import suggestion_after

CHECKED: Final = frozenset(
    code for code, rule in CATALOGUE.items() if Door.TYPES in rule.doors and rule.by_default and rule.run is not None
)
"""The rules that types can decide."""


class Settings(NamedTuple):
    """The settings of a project.

    Attributes:
        codes: The rules to check.
        problems: What is wrong with the settings, one sentence each.
    """

    codes: frozenset[str] = CHECKED
    problems: tuple[str, ...] = ()

    @staticmethod
    def of(table: Mapping[str, object], path: str) -> Settings:
        """The settings in a table.

        Args:
            table: `[tool.baton]`.
            path: Its file, for messages.
        """
        problems: list[str] = []
        chosen: dict[str, set[str]] = {}
        for key in ("select", "ignore"):
            given = table.get(key, [])
            if not isinstance(given, list) or not all(isinstance(item, str) for item in given):
                problems.append(f"{path}: [tool.baton]: {key} must be a list of rules, got {given!r:.60}")
                continue
            chosen[key] = set()
            for item in given:
                found = set(_meant(item))
                chosen[key] |= found
                if not found:
                    problems.append(f'{path}: [tool.baton]: {key}: unknown rule "{item}"{_ask(item)}')
        selected = chosen.get("select") or set(CHECKED)
        return Settings(frozenset((selected & CHECKED) - chosen.get("ignore", set())), tuple(problems))


def _meant(item: str) -> Iterator[str]:
    """The codes that a code, the beginning of one, or a slug matches."""
    return (code for code, rule in CATALOGUE.items() if item == rule.slug or (item and code.startswith(item)))


def _ask(item: str) -> str:
    nearest = did_you_mean(item, [*CATALOGUE, *(rule.slug for rule in CATALOGUE.values())])
    return suggestion_after(nearest)
