"""JSON as the database holds it: shown as it is, cut where it is too long, decoded by nobody's annotation."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Final

MOST: Final = 64 * 1024
"""Characters of a value that are read, unless a caller asks for more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredJson:
    """A stored value.

    Attributes:
        text: Its JSON, or the beginning of that.
        size: How many bytes the whole has.
        is_cut: Whether `text` is only the beginning.
    """

    text: str
    size: int
    is_cut: bool = False

    @property
    def value(self) -> Any:
        """The value; of one that is cut, the beginning of its JSON as a text."""
        return self.text if self.is_cut else json.loads(self.text)

    @staticmethod
    def of(text: str | None, size: int | None, most: int | None) -> StoredJson | None:
        """The value of a text that was read, cut to `most` characters if the database has not cut it; None of None.

        Args:
            text: Its JSON, or the beginning of it.
            size: How many bytes the whole has; None if the text is the whole.
            most: Characters that are kept; None keeps all.
        """
        if text is None:
            return None
        bytes_read = len(text.encode("utf-8", "surrogatepass"))
        whole = bytes_read if size is None else size
        if most is not None and len(text) > most:
            return StoredJson(text=text[:most], size=whole, is_cut=True)
        return StoredJson(text=text, size=whole, is_cut=bytes_read < whole)
