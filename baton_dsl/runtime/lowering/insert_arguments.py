"""Convert lowered workflows to the arguments of `baton_insert_many`."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any, Final

from baton_dsl.errors import InsertTooLargeError
from baton_dsl.runtime.lowering.lower import Lowered, LoweredMap

MOST_CHARACTERS: Final = 512 * 1024 * 1024
"""The most characters of JSON in one insert: PostgreSQL accepts no text and no message of more than a gigabyte."""


def arguments_of(workflows: Sequence[Lowered], schema_version: int) -> dict[str, Any]:
    """The arguments of the SQL function, by name. The steps of all workflows are concatenated.

    Arrays of numbers are passed as literals, because psycopg is slower at formatting lists.

    Args:
        workflows: At least one workflow, all of the same flow.
        schema_version: The schema version that the database needs.

    Raises:
        InsertTooLargeError: BTN540, if they are too large for one statement.
    """
    offsets = [0]
    for workflow in workflows[:-1]:
        offsets.append(offsets[-1] + len(workflow.names))
    placed = list(zip(offsets, workflows, strict=True))
    templates = _Templates()
    first = workflows[0]
    given: dict[str, Any] = {
        "schema_version": schema_version,
        "flow": first.flow,
        "code": first.fingerprint.digest,
        "signatures": first.fingerprint.signatures,
        "ids": [workflow.workflow_id for workflow in workflows],
        "labels": [workflow.label for workflow in workflows],
        "inputs": [workflow.inputs for workflow in workflows],
        "are_debug": [workflow.debug for workflow in workflows],
        "hooks_to_be": json.dumps([workflow.hooks or None for workflow in workflows]),
        "sizes": _numbers(len(workflow.names) for workflow in workflows),
        "names": json.dumps([name for workflow in workflows for name in workflow.names]),
        "args": f"[{','.join(args for workflow in workflows for args in workflow.args)}]",
        "template": _numbers(number for workflow in workflows for number in templates.numbers_of(workflow)),
        "edge_from": _numbers(
            place + offset if place > 0 else place - offset for offset, it in placed for place in it.edge_from
        ),
        "edge_to": _numbers(place + offset for offset, it in placed for place in it.edge_to),
        "budgets": [it.budget for it in workflows] if any(it.budget is not None for it in workflows) else None,
        "maps": f"[{','.join(_map(each, offset) for offset, workflow in placed for each in workflow.maps)}]",
    }
    given["templates"] = f"[{','.join(templates.texts)}]"
    _check_size(given, len(workflows))
    return given


class _Templates:
    """The templates of all workflows, without duplicates."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        self._numbers: dict[str, int] = {}

    def numbers_of(self, workflow: Lowered) -> Iterable[int]:
        """The number of the template of each step."""
        known = [self._number(json.dumps(template)) for template in workflow.templates]
        return [known[number] for number in workflow.template]

    def _number(self, text: str) -> int:
        number = self._numbers.get(text)
        if number is None:
            number = self._numbers[text] = len(self.texts)
            self.texts.append(f'{text[:-1]}, "number": {number}}}')
        return number


def _map(found: LoweredMap, offset: int) -> str:
    parts = {
        "position": found.position + offset,
        "sources": [source and source + offset for source in found.sources],
        "beside": [other + offset for other in found.beside],
        **found.facts,
    }
    return f'{json.dumps(parts)[:-1]}, "item": {found.items}}}'


def _numbers(values: Iterable[int]) -> str:
    return f"{{{','.join(map(str, values))}}}"


def _check_size(given: dict[str, Any], count: int) -> None:
    size = sum(len(value) for value in given.values() if isinstance(value, str)) + sum(map(len, given["inputs"]))
    if size > MOST_CHARACTERS:
        what = "a workflow is" if count == 1 else f"{count:,} workflows are"
        raise InsertTooLargeError(f"{what} {size:,} characters of JSON, the limit of one call is {MOST_CHARACTERS:,}")
