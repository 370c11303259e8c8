"""Find `# baton: ignore[BTN101]` comments in source text."""

from __future__ import annotations

import re
from contextlib import suppress
from typing import Final

from baton_lint.source.facts import CommentFacts

_IGNORE: Final = re.compile(r"#\s*baton:\s*ignore(?:\[([^\]]*)\])?")
_CODE: Final = re.compile(r"[^\s,]+")


def ignore_comments(text: str) -> list[CommentFacts]:
    """The suppression comments of a text, in order, without strings that look like one."""
    if "baton:" not in text:
        return []
    import io  # only for files with such a comment
    import tokenize

    found: list[CommentFacts] = []
    # the text has been parsed already: errors here are only the tokenizer's, and comments after them are lost
    with suppress(tokenize.TokenError, SyntaxError):
        found.extend(
            _comment(match, *token.start)
            for token in tokenize.generate_tokens(io.StringIO(text).readline)
            if token.type == tokenize.COMMENT and (match := _IGNORE.search(token.string))
        )
    return found


def _comment(match: re.Match[str], line: int, start: int) -> CommentFacts:
    def span(begin: int, end: int) -> tuple[int, int, int, int]:
        return (line, start + begin + 1, line, start + end + 1)

    listed = match.group(1) or ""
    offset = match.start(1)
    codes = [(code.group(), span(offset + code.start(), offset + code.end())) for code in _CODE.finditer(listed)]
    return CommentFacts(span=span(match.start(), match.end()), codes=codes)
