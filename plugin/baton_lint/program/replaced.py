"""Read the replacements of steps in tests: `baton.run(shop, replace={charge: [OSError(), 12]}, region="eu")`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from baton_dsl.core.spec import UNKNOWN, Argument, Reference, Replaced
from baton_lint.program.steps import Steps
from baton_lint.program.values import StepValue
from baton_lint.source.expressions import Expression, dotted
from baton_lint.source.kept_calls import RUNS

OPTIONS: Final = frozenset({"replace", "queues", "crashes", "before", "check", "max_runs", "replay"})
"""Keywords of a run that are not inputs of its flow."""


def flow_of_run(call: Expression) -> Expression | None:
    """The flow that a test runs, if a chain of calls ends with a run."""
    if call[0] != "call" or call[2][0] != "attr" or call[2][3] not in RUNS or not call[3]:
        return None
    flow: Expression = call[3][0]
    return flow if flow[0] in ("name", "attr") and any(name == "replace" for name, *_ in call[4]) else None


def replaced(steps: Steps, path: str, scope: int, call: Expression) -> tuple[Replaced, ...]:
    """The replacements of the flow's steps, as far as they are written out in the call."""
    given = next((value for name, _, value in call[4] if name == "replace"), None)
    if given is None or given[0] != "dict":
        return ()
    found: list[Replaced] = []
    for key, value in given[2]:
        name = _name(steps, path, scope, key)
        if name is not None:
            step = Reference(name, steps.names.project.place(path, key[1]))
            found.append(Replaced(step, tuple(_answers(steps, path, scope, value)), is_list=value[0] == "list"))
    return tuple(found)


def _name(steps: Steps, path: str, scope: int, key: Expression) -> str | None:
    if key[0] == "const":
        return key[2] if isinstance(key[2], str) else None
    value = steps.names.evaluate(path, scope, key)
    return value.name if isinstance(value, StepValue) else None


def _answers(steps: Steps, path: str, scope: int, value: Expression) -> Iterator[Argument]:
    if value[0] == "list":
        answers = value[2]
    elif value[0] == "call" and (dotted(value[2]) or "").rpartition(".")[2] == "attempts":
        answers = value[3]
    else:
        answers = (value,)
    for answer in answers:
        argument = steps.argument(path, scope, answer, steps.names.project.place(path, answer[1]))
        if argument.type != UNKNOWN:
            yield argument
