"""The commands `types` and `emit`: check or write the edges of a project as calls."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from pathlib import Path

from baton_lint.arguments import UsageError
from baton_lint.findings import Finding
from baton_lint.program.importable import Importable
from baton_lint.proof.checkers import CheckerError, Proof, prove
from baton_lint.proof.emit import emit
from baton_lint.reporting import finding_of
from baton_lint.search.sealed import is_own_folder


def types(project: Importable, checker: str, python: str | None, cache: str | None) -> tuple[list[Finding], Proof]:
    """Let a type checker check the edges of a project.

    Args:
        project: Its flows, and where their steps are imported from.
        checker: `mypy`, `pyright`, `ty` or `pyrefly`.
        python: The interpreter of the project's environment; None for this one.
        cache: A folder for the checker's cache; None for no cache.

    Returns:
        A finding for each rejected edge, once and in the order of the source; and the whole result of the checker.

    Raises:
        UsageError: If the interpreter is not one, or the checker is unknown, not installed, or its answer can't be
            read.
    """
    interpreter = shutil.which(python or sys.executable)
    if interpreter is None:
        raise UsageError(f"--python must be a Python interpreter, got {python}")
    roots = [Path(root) for root in project.roots]
    folder = Path(cache).absolute() / checker if cache else None
    if folder is not None and not is_own_folder(str(folder)):  # the checker would follow links, and trust what it reads
        folder = None
    try:
        proof = prove(
            project.flows,
            checker,
            roots=roots,
            python=Path(interpreter).absolute(),  # not resolved: the path of the link identifies a virtual environment
            types=project.types,
            cache=folder,
        )
    except CheckerError as error:
        raise UsageError(str(error)) from None
    seen: dict[tuple[object, ...], Finding] = {}
    for diagnostic in proof.findings:  # a mistake in a step of fifty flows is one finding
        seen.setdefault((diagnostic.code, diagnostic.place, diagnostic.message), finding_of(diagnostic))
    return sorted(seen.values(), key=lambda finding: finding[:6]), proof


def emit_to(project: Importable, output: str | None, write: Callable[[str], None]) -> int:
    """Write the edges of a project as calls.

    Args:
        project: Its flows, and where their steps are imported from.
        output: The file to write; None writes with `write`.
        write: Writes the text if there is no file.

    Returns:
        How many edges were written.

    Raises:
        UsageError: If the file can't be written.
    """
    emitted = emit(project.flows, project.types)
    if output is None:
        write(emitted.text.rstrip("\n"))
    else:
        try:
            Path(output).write_text(emitted.text, encoding="utf-8")
        except OSError as error:
            raise UsageError(f"{output}: can't be written: {error.strerror or error}") from None
    return emitted.edges
