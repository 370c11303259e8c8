"""Make output safe to print: encodable text, with no more lines than intended."""

from __future__ import annotations

import os
import sys


def shown(path: str) -> str:
    """A path for users: relative to the current folder if it is below it.

    Bytes that are not UTF-8, line ends and escape sequences in the name are escaped: the name of a file must neither
    break the output nor look like another line of it.
    """
    here = os.getcwd() + os.sep
    return visible(path.removeprefix(here))


def counted(number: int, thing: str) -> str:
    """A number of things, as in `baton_dsl.core.wording`, which a run from the cache does not load."""
    return f"{number:,} {thing}{'' if number == 1 else 's'}"


def visible(text: str) -> str:
    """Escape the characters of a text that are not printable, so that it stays on its line."""
    if text.isprintable():
        return text
    return "".join(part if part.isprintable() else _escaped(part) for part in text)


def _escaped(character: str) -> str:
    if "\udc80" <= character <= "\udcff":  # a byte of a file name that is not UTF-8 (surrogateescape)
        return f"\\x{ord(character) - 0xDC00:02x}"
    return character.encode("unicode_escape").decode("ascii")


def takes_any_text() -> bool:
    """Whether the standard output can hold every character."""
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    return encoding.lower().replace("-", "").replace("_", "") == "utf8"


def put(text: str) -> None:
    """Print a text to the standard output, whatever its encoding."""
    _put(sys.stdout, text)


def tell(text: str) -> None:
    """Print a sentence to the standard error."""
    _put(sys.stderr, text)


def put_bytes(data: bytes) -> None:
    """Print a file as it is."""
    sys.stdout.flush()
    buffer = getattr(sys.stdout, "buffer", None)
    if buffer is None:  # not a real stream
        sys.stdout.write(data.decode(errors="surrogateescape"))
    else:
        buffer.write(data)


def _put(stream: object, text: str) -> None:
    write = stream.write  # type: ignore[attr-defined]
    try:
        write(text + "\n")
    except UnicodeEncodeError:
        encoding = getattr(stream, "encoding", None) or "ascii"
        write((text + "\n").encode(encoding, "backslashreplace").decode(encoding))
