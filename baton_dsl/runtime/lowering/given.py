"""The inputs of a flow: their annotations, and their values, decoded from the JSON that an insert stored."""

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
    """The annotation of each input, of the first step that takes it."""
    steps = {entry.name: entry.step for entry in flow.entries}
    found: dict[str, Any] = {}
    for name, takers in flow.spec().inputs().items():
        taker = steps[takers[0][0].name]
        if isinstance(taker, Step):
            found[name] = list_of(signature(taker).annotations[name], takers[0][1].each)
    return found


def values_of(flow: Flow[..., Any], stored: Mapping[str, Any]) -> dict[str, Any]:
    """Stored inputs as values to insert again.

    What does not fit any more, and what is no input of the flow any more, is left to the insert, which has the words
    for it.

    Args:
        flow: The flow, of today's code.
        stored: The inputs as parsed JSON, as an earlier insert was given them.
    """
    annotations = annotations_of(flow)
    return {name: _value(annotations[name], value) if name in annotations else value for name, value in stored.items()}


def _value(annotation: Any, value: Any) -> Any:
    try:
        return payload.decode(annotation, json.dumps(value))
    except (ValidationError, PydanticUserError):
        return value
