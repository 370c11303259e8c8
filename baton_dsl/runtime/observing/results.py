"""Decode the stored results of a workflow."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from baton_dsl.core import maps
from baton_dsl.core.items import index_of, item_of, step_of
from baton_dsl.errors import ItemNotFoundError, ResultNotReadyError, StepNotInWorkflowError, WorkflowNotFoundError
from baton_dsl.reflect import signature
from baton_dsl.runtime.values import payload
from baton_dsl.runtime.values.collected import collected, whole_of
from baton_dsl.runtime.values.names import step_of_worker
from baton_dsl.step import Step

type Row = dict[str, Any]
type AnyStep = Step[..., Any, Any, Any]
type Index = int | tuple[int, ...] | None


def node_name(step: AnyStep | str, index: Index) -> str:
    """The name of a node: `orders`, `orders[3]`, `orders[3,1]`.

    Raises:
        StepNotInWorkflowError: BTN408, if it can't be the name of a step.
    """
    name = step if isinstance(step, str) else step.name
    StepNotInWorkflowError.refuse_unstorable(name)
    if index is None:
        return name
    return item_of(name, index if isinstance(index, tuple) else (index,))


def missing_node(workflow_id: str, step: AnyStep | str, index: Index, names: Sequence[Row]) -> Exception:
    """The error for a node that does not exist, from the rows of `reads.STEP_NAMES`."""
    name = step if isinstance(step, str) else step.name
    if not names:
        return WorkflowNotFoundError(f'there is no workflow "{workflow_id}"')
    if index is not None and any(row["step_name"] == name for row in names):
        return ItemNotFoundError(f'step "{name}" of workflow "{workflow_id}" has no item {index}')
    return StepNotInWorkflowError.among(workflow_id, name, [row["step_name"] for row in names])


def check_step(workflow_id: str, step: str, names: Sequence[Row]) -> None:
    """Check that a workflow has a step, with the rows of `reads.STEP_NAMES`.

    Raises:
        StepNotInWorkflowError: BTN408, if it has no such step.
        WorkflowNotFoundError: BTN407, if there is no such workflow.
    """
    if all(row["step_name"] != step for row in names):
        raise missing_node(workflow_id, step, None, names)


def decoded(step: AnyStep | str, row: Row, lists: Sequence[Row]) -> Any:
    """Decode the result of a node, from its row of `reads.RESULT` and, for a map, its row of `reads.COLLECTED`.

    Raises:
        ResultNotReadyError: BTN409, if it has not completed.
        StoredValueError: BTN504, if it does not validate.
    """
    name = row["step_name"]
    if row["outcome"] != "completed":
        ended = f"was {row['outcome']}" if row["outcome"] else "has not completed"
        raise ResultNotReadyError(
            f'step "{name}" {ended}, so it has no result',
            remedy=f"see its error in {_where(name)}" if row["outcome"] else None,
        )
    return _decode(row, step_of_worker(row["worker"]) if isinstance(step, str) else step, lists)


def decoded_list(workflow_id: str, step: AnyStep | str, levels: int, row: Row, lists: Sequence[Row]) -> list[Any]:
    """The results of the items of a map, as `decoded` returns them.

    Raises:
        ItemNotFoundError: BTN413, if the node is not a map, or has a different number of levels.
        ResultNotReadyError: BTN409, if it has not completed.
        StoredValueError: BTN504, if one does not validate.
    """
    indices = index_of(row["step_name"]) or ()
    mapped = len(indices) + (row["levels"] if row["is_map"] and not row["is_per_model"] else 0)
    if wrong := maps.unlisted(step_of(row["step_name"]), mapped, indices, levels):
        raise ItemNotFoundError(f'workflow "{workflow_id}": {wrong[0]}', remedy=wrong[1])
    found: list[Any] = decoded(step, row, lists)
    return found


def _where(name: str) -> str:
    return "workflow.nodes()" if index_of(name) is None else f'workflow.items("{step_of(name)}")'


def decoded_by_name(rows: Sequence[Row], lists: Sequence[Row]) -> dict[str, Any]:
    """Decode the results of many nodes, by name."""
    return {row["step_name"]: _decode(row, step_of_worker(row["worker"]), lists) for row in rows}


def _decode(row: Row, step: AnyStep | None, lists: Sequence[Row]) -> Any:
    name = row["step_name"]
    annotation = signature(step).returns if step is not None else Any
    text = row["result"]
    if row["is_map"]:
        found = next((each for each in lists if each["step_name"] == name), {"result": None, "absent": None})
        annotation = whole_of(annotation, found["result"], row["levels"])
        text = collected(annotation, found["result"], found["absent"])
    return payload.decode_result(name, "result", name, annotation, text)
