"""Make what an attempt needs in memory: its job, and what the gate would read from the database."""

from __future__ import annotations

import json
from copy import deepcopy
from typing import TYPE_CHECKING, Any, cast

from oban import Job

from baton_dsl.core.items import index_of, step_of
from baton_dsl.core.lifecycle import Outcome
from baton_dsl.runtime.executing.gate import Passage, Upstream
from baton_dsl.runtime.lowering.edges import mapped_by

if TYPE_CHECKING:
    from baton_dsl.testing.memory import Memory

type Entries = list[tuple[tuple[str | None, ...], tuple[object, ...]]]
"""For each item of a map, the nodes and the values that its mapped parameters take."""


def job_of(memory: Memory, name: str) -> Job:
    """A job as a worker gets it."""
    row = memory.jobs[name]
    meta = {
        "workflow_id": memory.lowered.workflow_id,
        "workflow_name": name,
        "workflow_label": memory.lowered.label,
        **({"workflow_debug": True} if memory.lowered.debug else {}),
        **(row.template.get("meta") or {}),
    }
    return Job(
        row.template["worker"],
        id=row.id,
        queue=row.template["queue"],
        attempt=row.attempt,
        max_attempts=row.max_attempts,
        priority=row.template["priority"],
        tags=list(row.template["tags"]),
        args=deepcopy(row.args),
        meta=meta,
        errors=cast("list[str]", deepcopy(row.errors)),  # Oban's annotation is narrower than its rows
        attempted_at=memory.clock.now(),
        scheduled_at=memory.clock.moment(row.due),
        inserted_at=memory.clock.moment(memory.inserted_at),
        _validate=False,
    )


def passage_of(memory: Memory, name: str) -> Passage:
    """A node as the gate would read it."""
    node = memory.model.nodes[name]
    root = node.root
    reads = [*node.upstreams, *(memory.beside[root] if root is not None else ())]
    items: dict[str, str | Upstream] = {}
    if node.parent is not None:
        sources, values = _entry(memory, node.parent, name)
        parameters = mapped_by(memory.specs[step_of(name)])
        for parameter, source, value in zip(parameters, sources, values, strict=True):
            items[parameter] = json.dumps(value) if source is None else _upstream(memory, source)
    found = [_upstream(memory, above) for above in reads]
    return Passage(
        workflow_id=memory.lowered.workflow_id,
        node=name,
        outcome=node.outcome,
        pending=memory.model.pending(name),
        is_stopped=memory.model.is_stopped,
        upstreams={upstream.step: upstream for upstream in found},
        items=items,
        args=memory.args[root] if root is not None else None,
    )


def _entry(memory: Memory, parent: str, child: str) -> tuple[tuple[str | None, ...], tuple[object, ...]]:
    entries = memory.entries.get(parent)
    if entries is None:
        over = memory.model.nodes[parent].over
        assert over is not None
        entries = memory.entries[parent] = memory.model.entries(over) or []
    index = index_of(child)
    assert index is not None
    return entries[index[-1]]


def _upstream(memory: Memory, name: str) -> Upstream:
    node = memory.model.nodes[name]
    result, absent = memory.results.get(name), None
    if node.is_map and node.items is not None:
        result, missing = collect(memory, name)
        absent = json.dumps(missing) if missing else None
    worker = memory.templates[step_of(name)]["worker"]
    outcome = None if node.outcome is None else node.outcome.value
    return Upstream(step_of(name), worker, outcome, result, node.is_map, absent)


def collect(memory: Memory, name: str) -> tuple[str | None, list[dict[str, Any]]]:
    """The results of a map's items, and the items without a result, as `baton_collect` returns them."""
    node = memory.model.nodes[name]
    if node.items is None:
        return None, []
    models = memory.models_of(name)
    texts: list[str] = []
    missing: list[dict[str, Any]] = []
    for index, (child_name, child) in enumerate(memory.model.children(name).items()):
        if child.is_map:
            text, inner = collect(memory, child_name)
            missing += [{**entry, "path": [index, *entry["path"]]} for entry in inner]
        else:
            text, inner = memory.results.get(child_name), []
        if child.outcome is not Outcome.COMPLETED and not (child.is_map and child.items is not None):
            place = index if models is None else models[index]
            missing.append({"path": [place], "state": child.outcome, "reason": memory.error(child_name)})
        texts.append("null" if text is None else text)
    if models is not None:
        pairs = (f"{json.dumps(model)}:{text}" for model, text in zip(models, texts, strict=True))
        return f"{{{','.join(pairs)}}}", missing
    return f"[{','.join(texts)}]", missing
