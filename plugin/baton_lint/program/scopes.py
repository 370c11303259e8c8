"""Find the scope that defines a name."""

from __future__ import annotations

from baton_lint.source.facts import ScopeFacts


def visible(scopes: list[ScopeFacts], scope: int, name: str) -> int | None:
    """The scope that a name is found in, from the inside to the outside; None if no scope binds it."""
    sees_class = True  # what a class defines is seen in its own body and by type parameters there
    while scope >= 0:
        here = scopes[scope]
        if name in here["names"] and (sees_class or here["kind"] != "class"):
            return scope
        sees_class = sees_class and here["kind"] == "types"
        scope = here["parent"]
    return None


def deferred(scopes: list[ScopeFacts], scope: int) -> int:
    """The scope that an annotation written as text is evaluated in: no function's, for those are over by then."""
    above = scope
    while above >= 0:
        if scopes[above]["kind"] == "function":
            return 0
        above = scopes[above]["parent"]
    return scope
