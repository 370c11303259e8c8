"""The annotations of a flow's inputs, and their values, decoded from the JSON that an insert stored."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from pydantic import PydanticUserError, ValidationError

from baton_dsl.flow import Flow
from baton_dsl.reflect import signature
from baton_dsl.runtime.values import payload
from baton_dsl.runtime.values.collected import list_of
from baton_dsl.step import Step


def annotations_of(flow: Flow[..., Any]) -> dict[str, Any]:
    """The annotation of each input, from the first step that takes it."""
    steps = {entry.name: entry.step for entry in flow.entries}
    found: dict[str, Any] = {}
    for name, takers in flow.spec().inputs().items():
        taker = steps[takers[0][0].name]
        if isinstance(taker, Step):
            found[name] = list_of(signature(taker).annotations[name], takers[0][1].each)
    return found


def values_of(flow: Flow[..., Any], stored: Mapping[str, Any]) -> dict[str, Any]:
    """Decode stored inputs so that they can be inserted again.

    Values that no longer fit, and names that are no longer inputs of the flow, pass through: the insert reports them.

    Args:
        flow: The flow in the current code.
        stored: The inputs of an earlier insert, as parsed JSON.
    """
    annotations = annotations_of(flow)
    return {name: _value(annotations[name], value) if name in annotations else value for name, value in stored.items()}


def _value(annotation: Any, value: Any) -> Any:
    try:
        return payload.decode(annotation, json.dumps(value))
    except (ValidationError, PydanticUserError):
        return value
