"""Two types side by side in one message: told apart where their short names are equal."""

from __future__ import annotations

from baton_dsl.core.spec import Types


def apart(types: Types, one: object, other: object) -> tuple[str, str]:
    """Two types as users would write them; by dotted names where short names would make them look the same.

    Args:
        types: What is known of the types.
        one: A type.
        other: A type that is not the same.
    """
    shown, beside = types.show(one), types.show(other)
    return (shown, beside) if shown != beside else (types.show(one, full=True), types.show(other, full=True))
