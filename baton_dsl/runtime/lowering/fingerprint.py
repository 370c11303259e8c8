"""The fingerprint of a flow's code: what its functions take and return, to compare with later versions.

The steps of a workflow and its edges are rows of `workflow_nodes`, so they are not part of the fingerprint. All
workflows that the same code inserts share one fingerprint, whatever their shapes.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import blake2b
from types import FunctionType
from typing import Any, Final, cast
from weakref import WeakKeyDictionary

from baton_dsl.core.spec import MISSING, Role
from baton_dsl.reflect import signature
from baton_dsl.runtime.values.json_schema import accepted, returned
from baton_dsl.step import Step

_BYTES: Final = 16


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """What the functions of a workflow take and return.

    Attributes:
        digest: A hash of the flow's name and the signatures.
        signatures: JSON with the parameters and the schema of the result, for each worker.
    """

    digest: str
    signatures: str


_described: WeakKeyDictionary[FunctionType, str] = WeakKeyDictionary()


def fingerprint(flow: str, steps: Mapping[str, Step[..., Any, Any, Any]]) -> Fingerprint:
    """The fingerprint of a flow.

    Args:
        flow: The name of the flow.
        steps: One step of each of its functions, by worker.
    """
    parts = [f"{json.dumps(worker)}:{_describe(steps[worker])}" for worker in sorted(steps)]
    text = f'{{"flow":{json.dumps(flow)},"workers":{{{",".join(parts)}}}}}'
    return Fingerprint(blake2b(text.encode(), digest_size=_BYTES).hexdigest(), text)


def _describe(step: Step[..., Any, Any, Any]) -> str:
    """What a function takes and returns, as JSON. Cached."""
    function = cast("FunctionType", step.function)
    text = _described.get(function)
    if text is None:
        text = _described[function] = json.dumps(description(step), sort_keys=True, separators=(",", ":"))
    return text


def description(step: Step[..., Any, Any, Any]) -> dict[str, Any]:
    """What a step's function takes and returns, as plain data."""
    read = signature(step)
    parameters = {
        parameter.name: {
            "role": parameter.role.value,
            "source": parameter.source,
            "each": parameter.each,
            "has_default": parameter.has_default,
            "schema": accepted(read.annotations.get(parameter.name)),
        }
        for parameter in read.parameters
        if parameter.role in (Role.UPSTREAM, Role.INPUT)
    }
    return {"parameters": parameters, "result": None if read.result is MISSING else returned(read.returns)}
