"""What a deploy would do to the workflows in flight: which of them the code that is imported here can't finish.

What is stored is tried: results of settled upstreams and inputs are validated as the steps that wait for them would do
it. What is not stored yet is compared by JSON Schema, where unknown is silence.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import batched
from typing import Any, Final

import psycopg
from psycopg import sql
from psycopg.rows import dict_row

from baton_dsl.core.diagnostics import quoted
from baton_dsl.core.schemas import refusal
from baton_dsl.core.spec import ParameterSpec, Role
from baton_dsl.errors import StepNotFoundError, StoredValueError
from baton_dsl.reflect import signature
from baton_dsl.runtime import json_schema, payload, schema
from baton_dsl.runtime.database import Database
from baton_dsl.runtime.lowering import WORKERS
from baton_dsl.runtime.worker import load_step, step_of_worker
from baton_dsl.step import Step

type AnyStep = Step[..., Any, Any, Any]

KEEP: Final = "keep it until they have ended (what has moved can still be imported where it was), or cancel them"
ACCEPT: Final = "let the annotation accept what is stored too, until they have ended"
DEFAULT: Final = "give it a default, until they have ended"
BOTH: Final = (
    "let the annotation accept both until they have ended; or stop every worker before the code changes, "
    "and check with --stopped"
)
FIT: Final = "let the annotation accept it"

BATCH: Final = 1000
"""Nodes that are judged together."""


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Obstacle:
    """Why one step of one workflow in flight can't be finished.

    Attributes:
        flow: The name of the flow.
        step: The name of the step.
        problem: What is wrong, in a sentence that is the same for all workflows with that problem.
        remedy: What to do about it.
        workflow_id: The workflow.
    """

    flow: str
    step: str
    problem: str
    remedy: str
    workflow_id: str

    def __str__(self) -> str:
        return f'workflow "{self.workflow_id}" of flow "{self.flow}", step "{self.step}": {self.problem}; {self.remedy}'


@dataclass(frozen=True, slots=True)
class Judgement:
    """What was found.

    Attributes:
        workflows: How many workflows in flight were looked at.
        obstacles: What they can't be finished for; empty if nothing is known.
    """

    workflows: int
    obstacles: tuple[Obstacle, ...]


def judge(database: Database, packages: Collection[str], *, stopped: bool = False) -> Judgement:
    """Find out which workflows in flight the code of this process can't finish. Nothing is written.

    Args:
        database: Where the workflows are.
        packages: The top-level packages of the code that is deployed: steps of others are another application's.
        stopped: Whether no worker runs the code from before any more, so that what has not run yet is run by this one.

    Raises:
        SchemaMissingError: BTN404, if `baton install` was not run.
    """
    with database.sync_connection() as conn:
        try:
            with conn.transaction():
                conn.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")  # one moment for all reads
                return _Judge(conn, database, stopped=stopped).judge(packages)
        except psycopg.Error as error:
            if explained := schema.explain_missing(error, database.prefix):
                raise explained from error
            raise


_NODES: Final = """
SELECT node.workflow_id, workflow.flow_name, workflow.fingerprint, node.step_name, node.worker, node.deps,
    node.upstreams, job.args
FROM {workflows} AS workflow
JOIN {nodes} AS node USING (workflow_id)
LEFT JOIN {jobs} AS job ON job.id = node.oban_job_id
WHERE workflow.settled_at IS NULL
    AND node.outcome IS NULL
    AND split_part(split_part(node.worker, ':', 1), '/', 1) = ANY(%s)
"""

_UPSTREAMS: Final = """
SELECT oban_job_id, step_name, worker, outcome FROM {nodes} WHERE oban_job_id = ANY(%s)
"""

_RESULTS: Final = """
SELECT oban_job_id, result::text AS result FROM {nodes} WHERE oban_job_id = ANY(%s)
"""

_SIGNATURES: Final = """
SELECT signatures::text AS signatures FROM {flows} WHERE fingerprint = %s LIMIT 1
"""


@dataclass(frozen=True, slots=True)
class _Reading:
    """A parameter of an unfinished node that reads the result of a settled upstream."""

    node: Mapping[str, Any]
    parameter: ParameterSpec
    annotation: Any


@dataclass(slots=True)
class _Judge:
    conn: psycopg.Connection[Any]
    database: Database
    stopped: bool
    recorded: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    refusals: dict[tuple[Any, ...], tuple[str, str] | None] = field(default_factory=dict)
    steps: dict[str, AnyStep | StepNotFoundError] = field(default_factory=dict)

    def judge(self, packages: Collection[str]) -> Judgement:
        workflows: set[str] = set()
        obstacles: set[Obstacle] = set()
        prefixes = [f"{WORKERS}{package}" for package in packages]
        with self.conn.cursor(name="baton_nodes", row_factory=dict_row) as nodes:
            nodes.itersize = BATCH
            nodes.execute(self._query(_NODES), [prefixes])
            for batch in batched(nodes, BATCH):
                workflows.update(node["workflow_id"] for node in batch)
                obstacles.update(self._batch(batch))
        return Judgement(len(workflows), tuple(sorted(obstacles)))

    def _query(self, text: str) -> sql.Composed:
        names = {"workflows": "baton_workflows", "nodes": "workflow_nodes", "jobs": "oban_jobs", "flows": "baton_flows"}
        tables = {key: self.database.table(name) for key, name in names.items() if f"{{{key}}}" in text}
        return sql.SQL(text).format(**tables)

    def _rows(self, text: str, values: Sequence[Any]) -> list[dict[str, Any]]:
        return self.conn.cursor(row_factory=dict_row).execute(self._query(text), values).fetchall()

    def _batch(self, nodes: Sequence[Mapping[str, Any]]) -> Iterator[Obstacle]:
        ids = {job_id for node in nodes for job_id in node["upstreams"]}
        upstreams = {row["oban_job_id"]: row for row in self._rows(_UPSTREAMS, [list(ids)])}
        readings: dict[int, list[_Reading]] = {}
        for node in nodes:
            step = self._step(node["worker"])
            if isinstance(step, StepNotFoundError):
                yield _obstacle(node, f"its function is gone: {step.message}", KEEP)
                continue
            above = {row["step_name"]: row for job_id in node["upstreams"] if (row := upstreams.get(job_id))}
            read = signature(step)
            for parameter in read.parameters:
                annotation = read.annotations.get(parameter.name)
                if parameter.role is Role.INPUT and node["args"] is not None:
                    yield from _input(node, parameter, annotation)
                if parameter.role is not Role.UPSTREAM or parameter.source is None:
                    continue
                upstream = above.get(parameter.source)
                if upstream is None:
                    yield from _no_upstream(node, parameter, read.parameters)
                elif parameter.each or self._is_mapped(upstream["worker"]):
                    continue  # item by item, or a list of what the items return: not looked into
                elif upstream["outcome"] == "completed":
                    reading = _Reading(node, parameter, annotation)
                    readings.setdefault(upstream["oban_job_id"], []).append(reading)
                elif upstream["outcome"] is None:
                    yield from self._unsettled(node, parameter, annotation, upstream)
        yield from self._settled(readings)

    def _step(self, worker: str) -> AnyStep | StepNotFoundError:
        if worker not in self.steps:
            try:
                self.steps[worker] = load_step(worker.removeprefix(WORKERS))
            except StepNotFoundError as error:
                self.steps[worker] = error
        return self.steps[worker]

    def _is_mapped(self, worker: str) -> bool:
        step = step_of_worker(worker)
        return step is not None and any(parameter.each for parameter in signature(step).parameters)

    def _settled(self, readings: Mapping[int, Sequence[_Reading]]) -> Iterator[Obstacle]:
        """Try what is stored. A large result is fetched once, and not together with all others."""
        for ids in batched(readings, 20):
            for row in self._rows(_RESULTS, [list(ids)]):
                tried: dict[tuple[Any, ...], str | None] = {}
                for reading in readings[row["oban_job_id"]]:
                    key = (reading.node["worker"], reading.node["step_name"], reading.parameter.name)
                    if key not in tried:
                        tried[key] = _stored_problem(reading, row["result"])
                    if problem := tried[key]:
                        yield _obstacle(reading.node, problem, ACCEPT)

    def _unsettled(
        self, node: Mapping[str, Any], parameter: ParameterSpec, annotation: Any, upstream: Mapping[str, Any]
    ) -> Iterator[Obstacle]:
        """Compare what an upstream will store with what is read of it."""
        key = (node["fingerprint"], upstream["worker"], node["worker"], parameter.name)
        if key not in self.refusals:
            self.refusals[key] = self._refusal(node["fingerprint"], upstream["worker"], annotation)
        found = self.refusals[key]
        if found is not None:
            reason, remedy = found
            problem = f'the result of "{parameter.source}" does not fit parameter "{parameter.name}": {reason}'
            yield _obstacle(node, problem, remedy)

    def _refusal(self, fingerprint: str | None, worker: str, annotation: Any) -> tuple[str, str] | None:
        step = step_of_worker(worker)
        current = json_schema.returned(signature(step).returns) if step is not None else None
        if reason := _refused(current, annotation):
            return reason, FIT
        if self.stopped:
            return None
        recorded = self._recorded(fingerprint).get(worker, {}).get("result")
        reason = _refused(recorded, annotation) if recorded != current else None
        return (f"where the code from before still runs, {reason}", BOTH) if reason else None

    def _recorded(self, fingerprint: str | None) -> Mapping[str, Any]:
        """What the functions behind a workflow said when it was inserted, by worker; empty if nobody knows."""
        if fingerprint is None:
            return {}
        if fingerprint not in self.recorded:
            rows = self._rows(_SIGNATURES, [fingerprint])
            self.recorded[fingerprint] = json.loads(rows[0]["signatures"])["workers"] if rows else {}
        return self.recorded[fingerprint]


def _obstacle(node: Mapping[str, Any], problem: str, remedy: str) -> Obstacle:
    return Obstacle(
        flow=node["flow_name"],
        step=node["step_name"],
        problem=problem,
        remedy=remedy,
        workflow_id=node["workflow_id"],
    )


def _input(node: Mapping[str, Any], parameter: ParameterSpec, annotation: Any) -> Iterator[Obstacle]:
    name, args = parameter.name, node["args"]
    if parameter.each:
        return  # a map over an input: its items are not looked into
    if name not in args:
        if not parameter.has_default:
            yield _obstacle(node, f'input "{name}" was not given when the workflow was inserted', DEFAULT)
        return
    try:
        payload.decode_input(node["step_name"], name, annotation, args[name])
    except StoredValueError as error:
        yield _obstacle(node, error.message, ACCEPT)


def _no_upstream(
    node: Mapping[str, Any], parameter: ParameterSpec, parameters: Sequence[ParameterSpec]
) -> Iterator[Obstacle]:
    deps: Sequence[str] = node["deps"]
    if any(name == parameter.source or name.startswith(f"{parameter.source}[") for name in deps):
        return
    taken = {other.source for other in parameters if other.is_upstream}
    free = [name for name in deps if name not in taken]
    waits = f"it waits for {quoted(deps)}" if deps else "it waits for none"
    remedy = f'name what it reads: {parameter.name}: Annotated[..., From("{free[0]}")]' if len(free) == 1 else KEEP
    yield _obstacle(
        node,
        f'parameter "{parameter.name}" takes the result of "{parameter.source}", for which the step did not wait when '
        f"the workflow was inserted: {waits}",
        remedy,
    )


def _stored_problem(reading: _Reading, result: str | None) -> str | None:
    """Why a stored result can't be read; None if it can."""
    parameter = reading.parameter
    text = "null" if result is None else result  # a plain Oban job has no result
    try:
        payload.decode_result(
            reading.node["step_name"], parameter.name, parameter.source or parameter.name, reading.annotation, text
        )
    except StoredValueError as error:
        return error.message
    return None


def _refused(stored: json_schema.Schema | None, annotation: Any) -> str | None:
    """As `refusal`; a field is read by its name and by its alias, so it is refused only if it is by both."""
    by_name = refusal(stored, json_schema.accepted(annotation))
    return by_name and refusal(stored, json_schema.accepted(annotation, by_alias=True))
