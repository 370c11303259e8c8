"""Find the scope that defines a name."""

from __future__ import annotations

from baton_lint.source.facts import ScopeFacts


def visible(scopes: list[ScopeFacts], scope: int, name: str) -> int | None:
    """The innermost scope that binds a name and is visible; None if no scope binds it."""
    sees_class = True  # names of a class are visible in its own body and to type parameters there
    while scope >= 0:
        here = scopes[scope]
        if name in here["names"] and (sees_class or here["kind"] != "class"):
            return scope
        sees_class = sees_class and here["kind"] == "types"
        scope = here["parent"]
    return None


def deferred(scopes: list[ScopeFacts], scope: int) -> int:
    """The scope in which an annotation that is a string is evaluated; never a function's, which has ended by then."""
    above = scope
    while above >= 0:
        if scopes[above]["kind"] == "function":
            return 0
        above = scopes[above]["parent"]
    return scope
