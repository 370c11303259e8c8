"""From the bytes of a file to its facts."""

from __future__ import annotations

import ast
import gc

from baton_lint.expressions import Span
from baton_lint.facts import FileFacts, ScopeFacts
from baton_lint.reading import UndecodableError, decode
from baton_lint.walker import Walker


def collect(data: bytes) -> FileFacts:
    """The facts of one file. Never raises: what can't be parsed has an `error`."""
    enabled = gc.isenabled()
    gc.disable()  # a tree is all new objects and no garbage: twice as fast without looking for any
    try:
        text = decode(data)
        tree = ast.parse(text)
        walker = Walker(text)
        walker.walk(tree)
        return walker.facts()
    except UndecodableError as error:
        return _failed(str(error), (1, 1, 1, 1))
    except SyntaxError as error:
        line = max(error.lineno or 1, 1)
        column = max(error.offset or 1, 1)
        return _failed(error.msg, (line, column, line, column + 1))
    except (ValueError, RecursionError, MemoryError) as error:
        reason = {RecursionError: "too deeply nested", MemoryError: "too deeply nested"}.get(type(error), str(error))
        return _failed(reason, (1, 1, 1, 1))
    finally:
        if enabled:
            gc.enable()


def _failed(reason: str, span: Span) -> FileFacts:
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
