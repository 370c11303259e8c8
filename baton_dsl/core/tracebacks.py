"""Shorten tracebacks for people: frames of the machinery are folded, frames of the step's own code stay."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

_FRAME: Final = re.compile(r'(?P<margin>[ |]*)  File "(?P<path>[^"]*)", line \d+, in ')
_OURS: Final = re.compile(
    r"[/\\](baton_dsl|oban|asyncio|concurrent[/\\]futures|contextlib\.py|threading\.py)(?:[/\\]|$)"
)
"""The frames between Oban's executor and the function of a step."""


def folded(error: str) -> str:
    r"""Fold an error as Oban stores it: each series of frames of baton-dsl, Oban and asyncio becomes one line.

    If a traceback has no other frames, as for an error of baton-dsl itself, its last frame stays.

    Example:
        >>> print(folded('''Traceback (most recent call last):
        ...   File "/site-packages/oban/_executor.py", line 97, in _process
        ...     self.result = await self._perform(self.worker)
        ...                   ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
        ...   File "/site-packages/baton_dsl/runtime/worker.py", line 80, in process
        ...     return await run(step, job)
        ...   File "/app/flows.py", line 12, in charge
        ...     raise RuntimeError("no money")
        ... RuntimeError: no money'''))
        Traceback (most recent call last):
          ... 2 frames of baton-dsl and Oban ...
          File "/app/flows.py", line 12, in charge
            raise RuntimeError("no money")
        RuntimeError: no money
    """
    lines: list[str] = []
    run: list[list[str]] = []
    for block in _blocks(error.splitlines()):
        found = _FRAME.match(block[0])
        if found is not None and _OURS.search(found["path"]):
            run.append(block)
            continue
        lines += _fold(run, keeps_last=found is None)
        run = []
        lines += block
    return "\n".join([*lines, *_fold(run, keeps_last=True)])


def _blocks(lines: list[str]) -> Iterator[list[str]]:
    """Split a traceback into blocks: each frame with its source line and marks, and each other line."""
    block: list[str] = []
    for line in lines:
        frame = _FRAME.match(line)
        if block and frame is None:
            margin = _FRAME.match(block[0])
            if margin is not None and line.startswith(f"{margin['margin']}    "):
                block.append(line)
                continue
        if block:
            yield block
        block = [line]
    if block:
        yield block


def _fold(run: list[list[str]], *, keeps_last: bool) -> list[str]:
    """Fold frames into one line; the last frame stays if the error was raised in it."""
    if not run:
        return []
    kept = run[-1] if keeps_last else []
    hidden = len(run) - bool(kept)
    margin = _FRAME.match(run[0][0])
    assert margin is not None
    folded = [f"{margin['margin']}  ... {hidden} frame{'' if hidden == 1 else 's'} of baton-dsl and Oban ..."]
    return [*(folded if hidden else []), *kept]
