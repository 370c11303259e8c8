"""`assert_flow`: keep the shape of a flow in a file, so that reviews show changes of its graph."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from difflib import unified_diff
from pathlib import Path
from typing import Any, Final

from baton_dsl.core.drawing import Drawing
from baton_dsl.core.spec import MISSING, UNKNOWN, ParameterSpec, Role, StepSpec
from baton_dsl.flow import Flow
from baton_dsl.reflect import LIVE_TYPES
from baton_dsl.step import Step

UPDATE: Final = "BATON_UPDATE"
"""The environment variable with which files that differ are rewritten; pytest's option `--baton-update` sets it."""


def assert_flow(flow: Flow[..., Any], path: str | Path) -> None:
    """Assert that a flow has the shape in a file: its steps, what they take and return, and their options.

    If the file does not exist, it is written. To accept a change, rewrite it with `pytest --baton-update`.

    Args:
        flow: The flow.
        path: The file; a relative path is relative to the folder of the test.

    Raises:
        AssertionError: If the flow has another shape; shows the difference.
        FlowError: If the flow is wrong.

    Example:
        ```python
        def test_the_shape_of_billing():
            assert_flow(billing, "billing.flow")
        ```
    """
    file = Path(sys._getframe(1).f_code.co_filename).parent / path  # noqa: SLF001
    flow.validate()
    shape = shape_of(flow)
    if not file.exists() and "CI" not in os.environ:
        _write(file, shape)
        return
    known = file.read_text(encoding="utf-8") if file.exists() else ""
    if known == shape:
        return
    if os.environ.get(UPDATE):
        _write(file, shape)
        return
    lines = unified_diff(known.splitlines(), shape.splitlines(), str(path), "the flow", lineterm="")
    diff = "\n".join(lines)
    raise AssertionError(
        f'flow "{flow.name}" has another shape than in {path}; to accept the change: pytest --baton-update\n{diff}'
    )


def _write(file: Path, shape: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(shape, encoding="utf-8")


def shape_of(flow: Flow[..., Any]) -> str:
    """The shape of a flow as text: its drawing, and a paragraph for each step in topological order."""
    graph = flow.checked().graph
    lines = [f"flow {flow.name}", "", Drawing.of(flow.spec(), height=10_000, width=10_000).text(), ""]
    entries = {entry.name: entry.step for entry in flow.entries}
    for name in graph.topological_order():
        step = entries[name]
        lines += [*_step(graph.steps[name]), *(_options(step.options) if isinstance(step, Step) else ()), ""]
    return "\n".join(lines).rstrip() + "\n"


def _step(step: StepSpec) -> Iterator[str]:
    returns = "" if step.result in (MISSING, UNKNOWN) else f" -> {LIVE_TYPES.show(step.result)}"
    yield f"{step.name}{returns}{' | Skip' if step.may_skip else ''}"
    for parameter in step.parameters:
        yield f"  {_parameter(parameter)}"
    for kind, references in (("after", step.after), ("deps", step.deps)):
        if references:
            yield f"  {kind} {', '.join(reference.name for reference in references)}"


def _options(options: Mapping[str, Any]) -> Iterator[str]:
    for option, value in sorted(options.items()):
        if option not in ("name", "after"):
            yield f"  {option} = {'a function' if callable(value) else repr(value)}"


def _parameter(parameter: ParameterSpec) -> str:
    each = "Each[" * parameter.each, "]" * parameter.each
    type_ = "" if parameter.type in (MISSING, UNKNOWN) else f": {each[0]}{LIVE_TYPES.show(parameter.type)}{each[1]}"
    match parameter.role:
        case Role.INPUT:
            default = ", may be left out" if parameter.has_default else ""
            return f"input {parameter.name}{type_}{default}"
        case Role.UPSTREAM:
            source = "" if parameter.source == parameter.name else f" from {parameter.source}"
            return f"takes {parameter.name}{type_}{source}"
        case _:
            return f"given {parameter.name}"
