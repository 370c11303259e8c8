"""Lower a checked flow and its inputs to the values of an insert, which `insert.py` writes. No I/O."""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Mapping, Sequence, Sized
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final, cast
from uuid import UUID

from pydantic import ValidationError
from pydantic_core import PydanticSerializationError

from baton_dsl.core import defaults
from baton_dsl.core.check import Checked
from baton_dsl.core.diagnostics import Diagnostic
from baton_dsl.core.rules import inputs as input_rule
from baton_dsl.core.rules import option as option_rule
from baton_dsl.core.rules import shadowed_default
from baton_dsl.core.rules.models import ALL_OTHERS
from baton_dsl.core.spec import IGNORES, InsertCall, ParameterSpec, StepSpec
from baton_dsl.errors import EmptyFlowError, FlowError, InputError, UnknownPriceError
from baton_dsl.flow import Flow
from baton_dsl.flow_options import Settings
from baton_dsl.llm.reserving import RESERVE, reserved
from baton_dsl.reflect import LIVE_TYPES, argument_of, signature
from baton_dsl.runtime.lowering.edges import mapped_by, needed_upstreams, read_beside
from baton_dsl.runtime.lowering.fingerprint import Fingerprint, fingerprint
from baton_dsl.runtime.values import importing, payload
from baton_dsl.runtime.values.collected import list_of
from baton_dsl.runtime.values.names import HOOKS, MAX_CRASHES, worker_name
from baton_dsl.step import Entry, Step

if TYPE_CHECKING:
    from oban import Job

MODEL: Final = shadowed_default.MODEL

_NUL: Final = re.compile(r"(?<!\\)(?:\\\\)*\\u0000")
"""An escaped NUL in JSON, but not an escaped backslash in front of `u0000`."""


@dataclass(frozen=True, slots=True)
class LoweredMap:
    """What the database needs to know about a map. Numbers of steps are positions in topological order, from 1.

    Attributes:
        position: The step's own number.
        sources: For each mapped parameter, the step that its items come from; 0 for a value.
        beside: The other steps that each item reads.
        facts: Everything else that the database needs.
        items: The values that are mapped over, as a JSON list, with null for items from a step.
    """

    position: int
    sources: list[int]
    beside: list[int]
    facts: Mapping[str, Any]
    items: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Lowered:
    """The values of one workflow for the insert, with its id."""

    workflow_id: str
    label: str
    flow: str
    inputs: str
    debug: bool
    budget: str | None
    names: list[str]
    args: list[str]
    templates: list[Mapping[str, Any]]
    template: list[int]
    edge_from: list[int]
    edge_to: list[int]
    maps: list[LoweredMap]
    hooks: Mapping[str, Mapping[str, str]]
    fingerprint: Fingerprint


def new_workflow_id() -> str:
    """A UUIDv7 (RFC 9562): it begins with the time, so new rows are adjacent in an index."""
    milliseconds = time.time_ns() // 1_000_000
    random = int.from_bytes(os.urandom(10))
    value = (milliseconds & 0xFFFF_FFFF_FFFF) << 80 | random
    value = value & ~(0xF << 76) | 0x7 << 76  # version
    value = value & ~(0x3 << 62) | 0x2 << 62  # variant
    return str(UUID(int=value))


@dataclass(slots=True)
class _Lowering:
    """The state of lowering one workflow."""

    flow: Flow[..., Any]
    checked: Checked
    given: Mapping[str, Any]
    moment: datetime
    findings: list[Diagnostic] = field(default_factory=list)
    templates: list[Mapping[str, Any]] = field(default_factory=list)
    numbers: dict[Any, int] = field(default_factory=dict)
    encoded: dict[tuple[str, int], str | None] = field(default_factory=dict)
    workers: dict[str, Step[..., Any, Any, Any]] = field(default_factory=dict)
    needed: dict[int, frozenset[str]] = field(default_factory=dict)

    def needed_by(self, spec: StepSpec) -> frozenset[str]:
        """`needed_upstreams`, cached for all steps of a function."""
        key = id(spec.parameters)  # the same for all steps of one function
        found = self.needed.get(key)
        if found is None:
            found = self.needed[key] = needed_upstreams(spec)
        return found

    def template_of(self, entry: Entry, spec: StepSpec) -> int:
        """The number of a step's template. Steps that differ only in name, edges and args share one."""
        ignores = self.checked.flow.ignored_by(spec)
        step = entry.step
        reserve = self._reserve(entry)
        # Steps that `named` and `bind` make from one step share its options object, so its identity can be the key.
        key = (step.function, id(step.options), ignores, reserve) if isinstance(step, Step) else (id(step), ignores)
        number = self.numbers.get(key)
        if number is None:
            number = self.numbers[key] = len(self.templates)
            shape = self._step(step, reserve) if isinstance(step, Step) else self._job(entry.name, step)
            self.templates.append({**shape, **dict(zip(IGNORES, ignores, strict=True))})
        return number

    def _reserve(self, entry: Entry) -> str | None:
        """The amount of the budget that each attempt of a step reserves; None if it may start without a reservation."""
        if self.flow.settings.budget is None or not isinstance(entry.step, Step):
            return None
        try:
            return reserved(entry.step.options, self._models_of(entry.name, entry.step))
        except UnknownPriceError as error:
            self.findings.append(
                option_rule.finding(
                    f'step "{entry.name}" declares its tokens, but {error.message}',
                    help=error.remedy,
                    flow=self.flow.name,
                    step=entry.name,
                )
            )
            return None

    def _step(self, step: Step[..., Any, Any, Any], reserve: str | None) -> dict[str, Any]:
        options = step.options
        scheduled_at = options.get("scheduled_at")
        if "scheduled_in" in options:
            delay = options["scheduled_in"]
            scheduled_at = self.moment + (delay if isinstance(delay, timedelta) else timedelta(seconds=delay))
        worker = worker_name(step)
        self.workers[worker] = step
        meta = {MAX_CRASHES: options["max_crashes"]} if "max_crashes" in options else {}
        if reserve is not None:
            meta[RESERVE] = reserve
        return {
            "worker": worker,
            "queue": options.get("queue", defaults.QUEUE),
            "max_attempts": options.get("max_attempts", defaults.MAX_ATTEMPTS),
            "priority": options.get("priority", defaults.PRIORITY),
            "tags": _tags(options.get("tags", ())),
            "scheduled_at": _utc(scheduled_at),
            **({"meta": meta} if meta else {}),
        }

    def _job(self, name: str, job: Job) -> dict[str, Any]:
        for part in ("meta", "tags", "worker", "queue"):
            self._json(name, part, getattr(job, part))
        return {
            "worker": job.worker,
            "queue": job.queue,
            "max_attempts": job.max_attempts,
            "priority": job.priority,
            "tags": list(job.tags),
            "scheduled_at": _utc(job.scheduled_at),
            "meta": job.meta,
        }

    def args_of(self, entry: Entry, spec: StepSpec) -> str:
        """A job's args as JSON: the inputs of its step, and its model."""
        if not isinstance(entry.step, Step):
            return self._json(entry.name, "args", entry.step.args)
        step = entry.step
        parts: list[str] = []
        for parameter in spec.parameters:
            if not parameter.is_input or parameter.each:
                continue
            name = parameter.name
            if name in step.bound:
                text = self._encode(step, name, step.bound[name])
            elif name in self.given:
                text = self._encode_given(step, name)
            else:
                continue
            if text is not None:
                parts.append(f"{json.dumps(name)}:{text}")
        if not spec.is_per_model and (models := self._models_of(entry.name, step)):
            parts.append(f'"{MODEL}":{json.dumps(models[0])}')
        return f"{{{','.join(parts)}}}"

    def _models_of(self, name: str, step: Step[..., Any, Any, Any]) -> tuple[str, ...]:
        """The models of a step: from the flow's option for it, its own option, or the flow's option for all others."""
        chosen = self.flow.settings.models
        models = chosen.get(name) or step.options.get("models") or chosen.get(ALL_OTHERS) or ()
        return (models,) if isinstance(models, str) else tuple(models)

    def _json(self, name: str, part: str, value: object) -> str:
        """The args or the meta of a plain job as JSON. Oban has not checked them."""
        try:
            text = json.dumps(value, allow_nan=False)
            json.dumps(value, ensure_ascii=False).encode()  # raises for lone surrogates, which `jsonb` does not accept
        except (TypeError, ValueError, RecursionError) as error:
            reason = str(error)
        else:
            if not _NUL.search(text):
                return text
            reason = "a NUL character can't be stored"
        self.findings.append(
            option_rule.finding(
                f'the {part} of job "{name}" can\'t be written as JSON: {reason}',
                help="give plain data: numbers, strings, lists, dicts",
                flow=self.flow.name,
                step=name,
            )
        )
        return "null"

    def _encode_given(self, step: Step[..., Any, Any, Any], name: str) -> str | None:
        """Encode an input of the insert, once for all steps with the same annotation."""
        key = (name, id(signature(step).annotations[name]))
        if key not in self.encoded:
            self.encoded[key] = self._encode(step, name, self.given[name])
        return self.encoded[key]

    def map_of(self, entry: Entry, spec: StepSpec, position: Mapping[str, int]) -> LoweredMap:
        """What the database needs to know about a map."""
        step = cast("Step[..., Any, Any, Any]", entry.step)
        over = [parameter for parameter in spec.parameters if parameter.each]
        options = step.options
        rules: dict[str, Any] = {"max_items": options.get("max_items", defaults.MAX_ITEMS)}
        for name in ("combine", "max_concurrency"):
            if name in options:
                rules[name] = options[name]
        if (least := options.get("min_success")) is not None:
            rules["least" if isinstance(least, int) else "share"] = least
        if spec.is_per_model:
            rules["per_model"] = True
            items = json.dumps([self._models_of(entry.name, step)])
        else:
            items = f"[{','.join(self._collection(step, item) if item.is_input else 'null' for item in over)}]"
        return LoweredMap(
            position=position[entry.name],
            sources=[position[item.source] if item.is_upstream and item.source else 0 for item in over] or [0],
            beside=[position[upstream] for upstream in read_beside(self.checked.graph, entry.name)],
            facts={"levels": max(spec.levels, 1), "parameters": mapped_by(spec), "rules": rules},
            items=items,
        )

    def _collection(self, step: Step[..., Any, Any, Any], parameter: ParameterSpec) -> str:
        """The collection that a step maps over, from its inputs, as JSON."""
        name = parameter.name
        read = signature(step)
        annotation = list_of(read.annotations[name], parameter.each)
        if name in step.bound:
            value = step.bound[name]
        elif name in self.given:
            value = self.given[name]
        else:
            value = read.defaults.get(name, ())
        most = step.options.get("max_items", defaults.MAX_ITEMS)
        if isinstance(value, Sized) and len(value) > most:
            self._wrong(step, name, value, f"it has {len(value):,} items, max_items is {most:,}")
        text = self._encode(step, name, value, annotation)
        if name in self.given:
            self.encoded[name, id(parameter)] = text
        return text or "null"

    def _encode(self, step: Step[..., Any, Any, Any], name: str, value: Any, annotation: Any = None) -> str | None:
        annotation = signature(step).annotations[name] if annotation is None else annotation
        try:
            text = payload.encode(annotation, value)
        except ValidationError as error:
            for problem in error.errors(include_url=False):
                where = "".join(f"[{part!r}]" for part in problem["loc"])
                self._wrong(step, name, value, f"{where + ': ' if where else ''}{problem['msg']}")
            return None
        except (PydanticSerializationError, ValueError) as error:
            self._wrong(step, name, value, str(error).splitlines()[0])
            return None
        if _NUL.search(text):  # PostgreSQL's jsonb has no NUL
            self._wrong(step, name, value, "a NUL character can't be stored")
            return None
        return text

    def _wrong(self, step: Step[..., Any, Any, Any], name: str, value: Any, reason: str) -> None:
        expected = LIVE_TYPES.show(_parameter_type(step, name))
        self.findings.append(
            input_rule.finding(
                f'input "{name}" must be {expected}, got {type(value).__name__}: {reason}',
                help=f"pass a value of type {expected}",
                flow=self.flow.name,
                step=step.name,
                parameter=name,
            )
        )


def _parameter_type(step: Step[..., Any, Any, Any], name: str) -> object:
    parameter = next(parameter for parameter in signature(step).parameters if parameter.name == name)
    given: Any = parameter.type
    for _ in range(parameter.each):  # the input of a map is a collection
        given = LIVE_TYPES.list_of(given)
    return given


def _tags(tags: Any) -> list[str]:
    """As Oban normalizes them: trimmed, lower case, sorted, without repetitions."""
    return sorted({tag.strip().lower() for tag in tags})


def _utc(moment: datetime | None) -> str | None:
    """Format a time for Oban's columns, which are UTC without a zone."""
    return None if moment is None else moment.astimezone(UTC).replace(tzinfo=None).isoformat()


def check_flow(flow: Flow[..., Any]) -> Checked:
    """Check that a flow can be inserted.

    Raises:
        EmptyFlowError: If it has no steps.
        FlowError: If it is wrong; contains all diagnostics.
    """
    if not flow.entries:
        raise EmptyFlowError(f'flow "{flow.name}" has no steps')
    checked = flow.checked()
    if checked.findings:
        raise _error_of(checked.findings)
    return checked


def lower(
    flow: Flow[..., Any], given: Mapping[str, Any], *, moment: datetime | None = None, is_mapping: bool = False
) -> Lowered:
    """Turn a flow and its inputs into the values of an insert.

    Args:
        flow: The flow.
        given: The inputs by name.
        moment: The time from which `scheduled_in` counts; default: now.
        is_mapping: Whether the inputs were passed as a mapping, for the wording of errors.

    Returns:
        The values; every input is validated and encoded as JSON.

    Raises:
        EmptyFlowError: If the flow has no steps.
        FlowError: If the flow is wrong; contains all diagnostics.
        InputError: If an input is unknown, missing or does not validate; contains all diagnostics.
    """
    checked = check_flow(flow)
    given = {**flow.bound, **given}
    arguments = {name: argument_of(value) for name, value in given.items()}
    call = InsertCall(arguments=arguments, is_mapping=is_mapping)
    findings = [found.in_flow(flow.name) for found in input_rule.inserted(checked.flow, call, LIVE_TYPES)]
    if findings:
        raise InputError(findings)

    graph = checked.graph
    order = graph.topological_order()
    entries = {entry.name: entry for entry in flow.entries}
    position = {name: index for index, name in enumerate(order, start=1)}
    lowering = _Lowering(flow, checked, given, moment or datetime.now(UTC))
    args: list[str] = []
    template: list[int] = []
    edge_from: list[int] = []
    edge_to: list[int] = []
    maps: list[LoweredMap] = []
    for name in order:
        entry, spec = entries[name], graph.steps[name]
        template.append(lowering.template_of(entry, spec))
        args.append(lowering.args_of(entry, spec))
        if name in graph.mapped:
            maps.append(lowering.map_of(entry, spec, position))
        needed, upstreams = lowering.needed_by(spec), graph.waits_for[name]
        edge_from += [position[other] if other in needed else -position[other] for other in upstreams]
        edge_to += [position[name]] * len(upstreams)
    if lowering.findings:
        raise _error_of(lowering.findings)
    settings = flow.settings
    return Lowered(
        workflow_id=settings.workflow_id or new_workflow_id(),
        label=settings.workflow_name or flow.name,
        flow=flow.name,
        inputs=_record_of(given, lowering),
        debug=settings.debug,
        budget=None if settings.budget is None else format(Decimal(settings.budget), "f"),
        names=order,
        args=args,
        templates=lowering.templates,
        template=template,
        edge_from=edge_from,
        edge_to=edge_to,
        maps=maps,
        hooks=_hooks_of(settings),
        fingerprint=fingerprint(flow.name, lowering.workers),
    )


def _error_of(findings: Sequence[Diagnostic]) -> FlowError:
    bad_inputs = all(finding.code == input_rule.finding.code for finding in findings)
    return (InputError if bad_inputs else FlowError)(findings)


def _record_of(given: Mapping[str, Any], lowering: _Lowering) -> str:
    """The inputs as one JSON object, for people who look at the workflow later."""
    encoded = {name: text for (name, _), text in lowering.encoded.items() if text is not None}
    return "{" + ",".join(f"{json.dumps(name)}:{encoded[name]}" for name in given if name in encoded) + "}"


def _hooks_of(settings: Settings) -> dict[str, dict[str, str]]:
    """The hooks of a flow as `baton_workflows` stores them: for each, the worker and the queue of its job."""
    return {
        name: {"worker": HOOKS + importing.name_of(hook), "queue": settings.hook_queue}
        for name, hook in settings.hooks().items()
    }
