"""JSON as it is stored: cut if it is too long, and not decoded by an annotation."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Final

MOST: Final = 64 * 1024
"""The most characters of a value that are read, unless a caller wants more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredJson:
    """A stored value.

    Attributes:
        text: Its JSON, or the beginning of it.
        size: The size of the whole JSON in bytes.
        is_cut: Whether `text` is only the beginning.
    """

    text: str
    size: int
    is_cut: bool = False

    @property
    def value(self) -> Any:
        """The parsed value; if it is cut, the beginning of its JSON as text."""
        return self.text if self.is_cut else json.loads(self.text)

    @staticmethod
    def of(text: str | None, size: int | None, most: int | None) -> StoredJson | None:
        """Wrap a text from the database, cut to `most` characters if the database has not cut it; None for None.

        Args:
            text: Its JSON, or the beginning of it.
            size: The size of the whole JSON in bytes; None if the text is whole.
            most: The most characters to keep; None keeps all.
        """
        if text is None:
            return None
        bytes_read = len(text.encode("utf-8", "surrogatepass"))
        whole = bytes_read if size is None else size
        if most is not None and len(text) > most:
            return StoredJson(text=text[:most], size=whole, is_cut=True)
        return StoredJson(text=text, size=whole, is_cut=bytes_read < whole)
