"""Find changes without an assignment: to lists, to the names of a module, to classes."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from baton_lint.source.facts import ScopeFacts

_BEFORE: Final = re.compile(r"(?:\*|\bin\s+|\bimport\s+(?:\(?[\w\s,]*,\s*)?|\b(?:len|tuple|sorted|print)\(|[\"'])$")
_AFTER: Final = re.compile(r"\s*(?:=(?!=)|:\s*[^=\n]*=(?!=))")
_DYNAMIC: Final = re.compile(r"\bglobals\(\)|(?<![\w.])exec\(|\bsys\.modules\[")
_MAYBE_DYNAMIC: Final = ("globals()", "exec(", "sys.modules[")
_REBUILDS: Final = ("model_rebuild", "rebuild_dataclass", "update_forward_refs")
_LINE_START: Final = re.compile(r"(?:^|\n)[ \t]*$")


def lists_of(scopes: list[ScopeFacts]) -> set[str]:
    """The names that are set to a literal list."""
    return {
        name
        for scope in scopes
        for name, binding in scope["names"].items()
        if binding[0] == "value" and isinstance(binding[1], tuple) and binding[1][0] == "list"
    }


def may_change(text: str, names: Iterable[str]) -> list[str]:
    """The names that the text uses for anything but creating, unpacking, importing or looping over a list.

    Every occurrence counts, even in strings and comments: if in doubt, rules stay silent.
    """
    return sorted(name for name in names if not _only_read(text, name))


def _only_read(text: str, name: str) -> bool:
    for match in re.finditer(rf"\b{re.escape(name)}\b", text):
        before = text[max(0, match.start() - 400) : match.start()]
        if _BEFORE.search(before):
            continue
        if _LINE_START.search(before) and _AFTER.match(text, match.end()):
            continue  # where it is created; a second assignment would make the name ambiguous
        return False
    return True


def is_dynamic(text: str) -> bool:
    """Whether a module may get names dynamically."""
    return any(part in text for part in _MAYBE_DYNAMIC) and _DYNAMIC.search(text) is not None


def rebuilds(text: str) -> bool:
    """Whether a module completes classes by hand (`model_rebuild`)."""
    return any(part in text for part in _REBUILDS)
