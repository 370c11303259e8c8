"""How findings are told: one module a format, each with `render(findings, shown) -> str`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from baton_lint.findings import Finding
from baton_lint.formats import full, github, objects, sarif

type Renderer = Callable[[Sequence[Finding], Callable[[str], str]], str]

RENDERERS: Final[dict[str, Renderer]] = {
    "full": full.render,
    "github": github.render,
    "json": objects.render,
    "sarif": sarif.render,
}
