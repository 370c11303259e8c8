"""Extract the facts of a file from its bytes."""

from __future__ import annotations

import gc

from baton_lint.source.decoding import UndecodableError, decode, parse
from baton_lint.source.expressions import Span
from baton_lint.source.facts import FileFacts, ScopeFacts
from baton_lint.source.walker import Walker

NOWHERE: Span = (1, 1, 1, 1)


def extract(data: bytes) -> FileFacts:
    """The facts of one file. Never raises: what can't be parsed has an `error`."""
    try:
        return extract_text(decode(data))
    except UndecodableError as error:
        return failed(str(error), NOWHERE)


def extract_text(text: str) -> FileFacts:
    """The same for a text whose lines end with line feeds."""
    enabled = gc.isenabled()
    gc.disable()  # a new tree contains no garbage: parsing is twice as fast without garbage collection
    try:
        tree = parse(text)
        walker = Walker(text)
        walker.walk(tree)
        return walker.facts()
    except SyntaxError as error:
        line = max(error.lineno or 1, 1)
        column = max(error.offset or 1, 1)
        return failed(error.msg, (line, column, line, column + 1))
    except (ValueError, RecursionError, MemoryError) as error:
        reason = {RecursionError: "too deeply nested", MemoryError: "too deeply nested"}.get(type(error), str(error))
        return failed(reason, NOWHERE)
    finally:
        if enabled:
            gc.enable()


def failed(reason: str, span: Span) -> FileFacts:
    """The facts of a file about which nothing is known."""
    return FileFacts(
        error=(reason, span),
        scopes=[ScopeFacts(parent=-1, kind="module", name="", names={}, absent=[], stars=[])],
        functions=[],
        classes=[],
        calls=[],
        passed=[],
        written=[],
        comments=[],
        is_deferred=False,
        is_dynamic=True,
        rebuilds=False,
        hooked=[],
    )
