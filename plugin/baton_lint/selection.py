"""Select the rules that apply, overall and for each file."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

type Catalogue = Mapping[str, tuple[str, bool]]
"""For each code, its slug and whether it is on by default."""


class UnknownRuleError(ValueError):
    """A selector matches no rule; the message says which."""


def fitting(selector: str, catalogue: Catalogue) -> frozenset[str]:
    """The codes that a selector matches.

    Args:
        selector: A code, a slug, the beginning of a code (`BTN2`), or `ALL`. A beginning leaves out the rules that are
            off by default: select those by their full code.
        catalogue: All rules.

    Raises:
        UnknownRuleError: If it matches none.

    Example:
        >>> catalogue = {"BTN101": ("baton-cycle", True), "BTN104": ("baton-unreachable-step", False)}
        >>> sorted(fitting("BTN1", catalogue)), sorted(fitting("BTN104", catalogue)), sorted(fitting("ALL", catalogue))
        (['BTN101'], ['BTN104'], ['BTN101', 'BTN104'])
    """
    if selector == "ALL":
        return frozenset(catalogue)
    exact = frozenset(code for code, (slug, _) in catalogue.items() if selector in (code, slug))
    found = exact or frozenset(
        code for code, (_, by_default) in catalogue.items() if by_default and code.startswith(selector)
    )
    if not found or not selector:
        raise UnknownRuleError(f'no rule is called "{selector}"; baton-lint rules lists them')
    return found


class Selection:
    """The selected rules.

    Args:
        select: Selectors; None for every rule that is on by default.
        extend: Selectors of further rules.
        ignore: Selectors of rules to ignore.
        per_file: Rules to ignore in some files: a test of the path, and selectors.
        catalogue: All rules.

    Raises:
        UnknownRuleError: If a selector matches no rule.
    """

    def __init__(
        self,
        select: Sequence[str] | None,
        extend: Sequence[str],
        ignore: Sequence[str],
        per_file: Iterable[tuple[Callable[[str], bool], Sequence[str]]],
        catalogue: Catalogue,
    ) -> None:
        chosen = (
            frozenset(code for code, (_, by_default) in catalogue.items() if by_default)
            if select is None
            else frozenset[str]().union(*(fitting(item, catalogue) for item in select))
        )
        chosen = chosen.union(*(fitting(item, catalogue) for item in extend))
        self.codes = chosen.difference(*(fitting(item, catalogue) for item in ignore))
        self._catalogue = catalogue
        self._per_file = [
            (test, frozenset[str]().union(*(fitting(item, catalogue) for item in codes))) for test, codes in per_file
        ]

    def has(self, name: str) -> bool:
        """Whether a rule is selected, by its code or its slug."""
        return any(name in (code, self._catalogue[code][0]) for code in self.codes)

    def wants(self, code: str, path: str) -> bool:
        """Whether a rule is selected in a file."""
        return code in self.codes and not any(code in codes and test(path) for test, codes in self._per_file)
