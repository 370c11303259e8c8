"""Run type checkers on the emitted calls, and read their findings."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from baton_dsl.core import maps
from baton_dsl.core.diagnostics import Diagnostic, Note
from baton_dsl.core.rules import each_not_iterable, not_optional, upstream_type
from baton_dsl.core.spec import MISSING, UNKNOWN, FlowSpec, Types
from baton_lint.proof.emit import Claim, emit

MODULE: Final = "baton_edges"
"""The name of the emitted module while it is checked."""


class CheckerError(Exception):
    """A type checker is not installed, or its answer can't be read."""


@dataclass(frozen=True, slots=True)
class Remark:
    """One error of a type checker in the emitted module."""

    line: int
    message: str


@dataclass(frozen=True, slots=True)
class Checker:
    """How a type checker is run.

    Attributes:
        name: Its command.
        flags: Its arguments for the emitted file, the folders of the project and the Python interpreter.
        remarks: The errors in its output.
        configuration: A file that it needs beside the emitted one, by name; returns its text for the project's folders.
    """

    name: str
    flags: Callable[[Path, Sequence[Path], Path], list[str]]
    remarks: Callable[[str], Iterator[Remark]]
    configuration: Callable[[Sequence[Path]], dict[str, str]] = lambda roots: {}


def _mypy(output: str) -> Iterator[Remark]:
    for line in output.splitlines():
        if line.startswith("{"):
            found = json.loads(line)
            if found["severity"] == "error" and Path(found["file"]).stem == MODULE:
                yield Remark(found["line"], found["message"])


def _pyright(output: str) -> Iterator[Remark]:
    for found in _json(output)["generalDiagnostics"]:
        if found["severity"] == "error":
            yield Remark(found["range"]["start"]["line"] + 1, " ".join(found["message"].split()))


def _ty(output: str) -> Iterator[Remark]:
    for found in _json(output):
        message = found["description"].removeprefix(f"{found['check_name']}: ")
        yield Remark(found["location"]["positions"]["begin"]["line"], message)


def _pyrefly(output: str) -> Iterator[Remark]:
    for found in _json(output)["errors"]:
        if found["severity"] == "error":
            yield Remark(found["line"], found["concise_description"])


def _json(output: str) -> Any:
    """Parse the answer of a checker.

    Raises:
        CheckerError: If it is not JSON.
    """
    try:
        return json.loads(output[min(index for index in (output.find("{"), output.find("[")) if index >= 0) :])
    except ValueError:
        raise CheckerError(f"the answer is not JSON: {output:.200}") from None


def _each(flag: str, roots: Sequence[Path]) -> list[str]:
    return [part for root in roots for part in (flag, str(root))]


CHECKERS: Final[Mapping[str, Checker]] = {
    checker.name: checker
    for checker in (
        Checker(
            "mypy",
            lambda file, roots, python: [
                *("--config-file=", "--output=json", f"--python-executable={python}"),
                *("--follow-imports=silent", str(file)),
            ],
            _mypy,
        ),
        Checker(
            "pyright",
            lambda file, roots, python: ["--outputjson", "--pythonpath", str(python), "--project", str(file.parent)],
            _pyright,
            lambda roots: {
                "pyrightconfig.json": json.dumps(
                    {"include": [f"{MODULE}.py"], "extraPaths": list(map(str, roots)), "typeCheckingMode": "standard"}
                )
            },
        ),
        Checker(
            "ty",
            lambda file, roots, python: [
                *("check", "--output-format", "gitlab", "--python", str(python), "--project", str(file.parent)),
                *_each("--extra-search-path", roots),
                str(file),
            ],
            _ty,
        ),
        Checker(
            "pyrefly",
            lambda file, roots, python: [
                *("check", "--output-format", "json", "--python-interpreter-path", str(python)),
                *_each("--search-path", roots),
                str(file),
            ],
            _pyrefly,
            lambda roots: {"pyrefly.toml": 'preset = "default"\n'},
        ),
    )
}


@dataclass(frozen=True, slots=True)
class Proof:
    """The result of a type checker for the edges.

    Attributes:
        findings: The edges that it rejects, each at its parameter.
        claims: How many edges it was asked about.
        problems: Its other errors. Nothing is proven about their lines.
    """

    findings: tuple[Diagnostic, ...]
    claims: int
    problems: tuple[str, ...]


def prove(
    flows: Iterable[tuple[FlowSpec, Mapping[str, str]]],
    checker: str,
    *,
    roots: Sequence[Path] = (),
    python: Path = Path(sys.executable),
    types: Types | None = None,
    cache: Path | None = None,
) -> Proof:
    """Let a type checker check the edges of flows.

    Args:
        flows: The flows, as for `emit`.
        checker: `mypy`, `pyright`, `ty` or `pyrefly`.
        roots: The folders from which the project's modules are imported.
        python: The interpreter in whose environment the project is installed. The checker is looked up beside it first,
            then on the path.
        types: Answers questions about the types in the flows, for the wording of the rules.
        cache: A folder for mypy's cache; the others have none.

    Raises:
        CheckerError: If the checker is unknown, not installed, or its answer can't be read.
    """
    how = CHECKERS.get(checker)
    if how is None:
        raise CheckerError(f'"{checker}" is not a known type checker; these are: {", ".join(CHECKERS)}')
    emitted = emit(flows, types)
    with tempfile.TemporaryDirectory(prefix="baton-") as folder:
        file = Path(folder).resolve() / f"{MODULE}.py"
        file.write_text(emitted.text, encoding="utf-8")
        for name, text in how.configuration(roots).items():
            file.with_name(name).write_text(text, encoding="utf-8")
        remarks = list(how.remarks(_run(how, file, roots, python, cache)))
    findings: list[Diagnostic] = []
    problems: list[str] = []
    for remark in remarks:
        claim = emitted.claims.get(remark.line)
        if claim is None and "overload" in remark.message.lower():
            claim = emitted.calls.get(remark.line)
        if claim is None:
            problems.append(f"{checker}: {remark.message}")
        else:
            findings.append(_finding(claim, remark, checker, types))
    return Proof(tuple(dict.fromkeys(findings)), emitted.edges, tuple(dict.fromkeys(problems)))


def _run(checker: Checker, file: Path, roots: Sequence[Path], python: Path, cache: Path | None) -> str:
    beside = python.parent / checker.name
    command = [str(beside) if beside.exists() else checker.name, *checker.flags(file, roots, python)]
    environment = {**os.environ, "MYPYPATH": os.pathsep.join(map(str, roots)), "NO_COLOR": "1"}
    if cache is not None:
        environment["MYPY_CACHE_DIR"] = str(cache)
    try:
        run = subprocess.run(command, cwd=file.parent, env=environment, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        raise CheckerError(f"{checker.name} is not installed: pip install {checker.name}") from None
    if run.returncode not in (0, 1):
        raise CheckerError(f"{checker.name} gave no answer: {(run.stderr or run.stdout).strip():.300}")
    return run.stdout


def _finding(claim: Claim, remark: Remark, checker: str, types: Types | None) -> Diagnostic:
    """The finding of a rule for a rejected edge, with the checker's own words as a note."""
    finding = _absent(claim) if claim.is_absent else _in_words(claim, types) or _in_general(claim)
    note = Note(f"{checker}: {remark.message}")
    return replace(finding, flow=claim.flow.name, notes=(*finding.notes, note))


def _absent(claim: Claim) -> Diagnostic:
    parameter, upstream = claim.parameter, claim.upstream
    what, remedy = f'"{upstream.name}"', "... | None"
    if maps.Edge.of(parameter, upstream).lists:
        what, remedy = f'items of "{upstream.name}"', "list[... | None] or list[Outcome[...]]"
    return not_optional.finding(
        f'parameter "{parameter.name}" of step "{claim.step.name}" does not accept None, but {what} may be absent',
        help=f"accept None: {parameter.name}: {remedy}",
        step=claim.step.name,
        parameter=parameter.name,
        place=parameter.place,
    )


def _in_words(claim: Claim, types: Types | None) -> Diagnostic | None:
    """The finding in the words of the rule, if the types are known here too."""
    step, parameter, upstream = claim.step, claim.parameter, claim.upstream
    if types is None or {MISSING, UNKNOWN} & {parameter.type, upstream.result}:
        return None
    given = maps.offer(types, parameter, upstream)
    if isinstance(given, maps.Stuck):
        return each_not_iterable.not_iterable(types, step, parameter, upstream, given)
    if claim.is_peeled or given in (MISSING, UNKNOWN):
        return None
    return upstream_type.mismatch(types, step, parameter, upstream, given)


def _in_general(claim: Claim) -> Diagnostic:
    step, parameter, upstream = claim.step, claim.parameter, claim.upstream
    if claim.is_peeled:
        return each_not_iterable.finding(
            f'parameter "{parameter.name}" of step "{step.name}" takes each item, but what upstream "{upstream.name}" '
            "gives is no collection, or not that deep",
            help="let the upstream return a list of items, or take its result whole",
            step=step.name,
            parameter=parameter.name,
            place=parameter.place,
        )
    return upstream_type.finding(
        f'parameter "{parameter.name}" of step "{step.name}" does not accept what upstream "{upstream.name}" gives',
        help="annotate the parameter as what the upstream returns, or change what it returns",
        step=step.name,
        parameter=parameter.name,
        place=parameter.place,
    )
