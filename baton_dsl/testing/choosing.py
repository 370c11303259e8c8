"""Choose other models for the steps that a retry in memory runs again."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import cast

from baton_dsl.core.nodes import State
from baton_dsl.errors import BatonError, RetryError
from baton_dsl.runtime.lowering.lower import MODEL
from baton_dsl.runtime.operating.choosing import check, unchangeable
from baton_dsl.testing.memory import Memory


def with_models(
    memory: Memory, workflow_id: str, models: Mapping[str, str], retry: Callable[[Memory], bool]
) -> tuple[bool, set[str | None]]:
    """Retry with other models.

    Args:
        memory: The workflow.
        workflow_id: Its id, for messages.
        models: The name of a model for a step, or for an item of a step of several models.
        retry: Retries the workflow; returns False if there is nothing to retry.

    Returns:
        Whether it runs again, and the nodes whose model has changed.

    Raises:
        StepNotInWorkflowError: BTN408, if the workflow has no such step.
        RetryError: BTN415, if the model of one can't be changed.
    """
    check(models)
    known = sorted(_current(memory))
    for step in sorted(models):
        if step not in known:
            raise unchangeable(workflow_id, step, known, is_there=step in memory.model.nodes)
    trial = memory.copy(memory.clock)
    if retry(trial) and (error := _refusal(trial, workflow_id, models)):
        raise error
    if not retry(memory):
        return False, set()
    old = _current(memory)
    changed = [step for step, model in models.items() if old[step] != model]
    for step in changed:
        _change(memory, step, models[step])
    return True, set(changed)


def _current(memory: Memory) -> dict[str, str]:
    """The models of all nodes that have their own."""
    found = {name: cast("str", args[MODEL]) for name, args in memory.args.items() if MODEL in args}
    for name, node in memory.model.nodes.items():
        if node.is_map and node.parent is None and (several := memory.models_of(name)) is not None:
            found |= {f"{name}[{place}]": model for place, model in enumerate(several)}
    return found


def _refusal(memory: Memory, workflow_id: str, models: Mapping[str, str]) -> BatonError | None:
    left = ", ".join(f'"{step}"' for step in sorted(models) if not _runs(memory, step))
    if left:
        return RetryError(
            f'workflow "{workflow_id}" can\'t be retried with another model for {left}: it does not run again',
            remedy="to run a step again that has ended, retry from it: from_step",
        )
    for step in {_several(step) for step in models if "[" in step}:
        wanted = [model for name, model in {**_current(memory), **models}.items() if _several(name) == step]
        if twice := next((model for model in wanted if wanted.count(model) > 1), None):
            return RetryError(f'step "{step}" of workflow "{workflow_id}" would run twice with model "{twice}"')
    return None


def _several(item: str) -> str:
    return item.rpartition("[")[0]


def _runs(memory: Memory, step: str) -> bool:
    node = memory.model.nodes.get(step)
    if node is None:  # an item that does not exist yet
        root = memory.model.nodes[_several(step)]
        return root.outcome is None and root.items is None
    return node.outcome is None and node.state is not State.EXECUTING


def _change(memory: Memory, step: str, model: str) -> None:
    if "[" not in step:
        memory.args = {**memory.args, step: {**memory.args[step], MODEL: model}}
        if step in memory.jobs:
            memory.jobs[step].args = memory.args[step]
        return
    root = memory.model.nodes[_several(step)]
    memory.entries.pop(_several(step), None)
    assert root.over is not None
    place = int(step.rpartition("[")[2][:-1])
    names = [*cast("list[str]", root.over.values[0])]
    names[place] = model
    root.over = replace(root.over, values=(names,))
