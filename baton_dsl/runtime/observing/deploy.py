"""Check a deploy: which running workflows the code imported here can't finish.

Stored results of settled upstreams, and inputs, are validated as the waiting steps would do it. For results that are
not stored yet, JSON schemas are compared; if the comparison is not certain, nothing is reported.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import batched
from typing import Any, Final

import psycopg
from psycopg.rows import dict_row

from baton_dsl.core.diagnostics import quoted
from baton_dsl.core.items import step_of
from baton_dsl.core.rules.shadowed_default import MODEL
from baton_dsl.core.schemas import refusal
from baton_dsl.core.spec import ParameterSpec, Role
from baton_dsl.errors import StepNotFoundError, StoredValueError
from baton_dsl.reflect import signature
from baton_dsl.runtime import schema
from baton_dsl.runtime.database.database import Database
from baton_dsl.runtime.sql.statements import statement
from baton_dsl.runtime.values import json_schema, payload
from baton_dsl.runtime.values.collected import collected, list_of
from baton_dsl.runtime.values.names import WORKERS, load_step, step_of_worker
from baton_dsl.step import Step

type AnyStep = Step[..., Any, Any, Any]

KEEP: Final = (
    "keep it until these workflows have ended (if it has moved, import it in the old module too), or cancel them"
)
ACCEPT: Final = "let the annotation accept what is stored too, until they have ended"
DEFAULT: Final = "give it a default, until they have ended"
BOTH: Final = (
    "let the annotation accept both until they have ended; or stop every worker before the code changes, "
    "and check with --stopped"
)
FIT: Final = "let the annotation accept it"

BATCH: Final = 1000
"""How many nodes are checked at a time."""


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Obstacle:
    """Why one step of one running workflow can't be finished.

    Attributes:
        flow: The name of the flow.
        step: The name of the step.
        problem: The problem, in words that are the same for all workflows that have it.
        remedy: What to do about it.
        workflow_id: The id of the workflow.
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
    """The result of a check.

    Attributes:
        workflows: How many running workflows were checked.
        obstacles: Why some of them can't be finished; empty if no reason is known.
    """

    workflows: int
    obstacles: tuple[Obstacle, ...]


def judge(database: Database, packages: Collection[str], *, stopped: bool = False) -> Judgement:
    """Find the running workflows that the code of this process can't finish. Nothing is written.

    Args:
        database: The database of the workflows.
        packages: The top-level packages of the deployed code. Steps in other packages belong to other applications.
        stopped: Whether all workers with the old code have stopped, so that only this code runs the remaining steps.

    Raises:
        SchemaMissingError: BTN404, if `baton install` was not run.
    """
    with database.sync_connection() as conn:
        try:
            with conn.transaction():
                conn.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")  # one snapshot for all reads
                return _Judge(conn, database, stopped=stopped).judge(packages)
        except psycopg.Error as error:
            if explained := schema.explain_missing(error, database.prefix):
                raise explained from error
            raise


_NODES: Final = """
SELECT node.workflow_id, workflow.flow_name, workflow.fingerprint, node.step_name, node.worker, node.upstreams,
    node.map_id, node.items IS NOT NULL AS is_expanded, node.parameters, node.sources,
    CASE WHEN node.item IS NOT NULL THEN ARRAY(SELECT json_array_elements(node.item)::text) END AS items,
    coalesce(job.args, node.mapping -> 'args') AS args
FROM baton.baton_workflows AS workflow
JOIN baton.workflow_nodes AS node USING (workflow_id)
LEFT JOIN baton.oban_jobs AS job ON job.id = node.oban_job_id
WHERE workflow.settled_at IS NULL
    AND node.outcome IS NULL
    AND NOT (node.is_map AND node.map_id IS NOT NULL)
    AND split_part(split_part(node.worker, ':', 1), '/', 1) = ANY(%s)
"""

_UPSTREAMS: Final = """
SELECT oban_job_id, step_name, worker, outcome, is_map FROM baton.workflow_nodes WHERE oban_job_id = ANY(%s)
"""

_RESULTS: Final = """
SELECT node.oban_job_id, node.is_map, list.absent::text AS absent,
    CASE WHEN node.is_map THEN list.result ELSE node.result::text END AS result
FROM baton.workflow_nodes AS node
LEFT JOIN LATERAL (
    SELECT made.*
    FROM (SELECT WHERE node.is_map AND node.items IS NOT NULL) AS asked
    CROSS JOIN LATERAL baton.baton_collect(node.oban_job_id) AS made
) AS list ON true
WHERE node.oban_job_id = ANY(%s)
"""

_SIGNATURES: Final = """
SELECT signatures::text AS signatures FROM baton.baton_flows WHERE fingerprint = %s LIMIT 1
"""


@dataclass(frozen=True, slots=True)
class _Reading:
    """A parameter of an unsettled node that reads the result of a settled upstream."""

    node: Mapping[str, Any]
    parameter: ParameterSpec
    annotation: Any
    is_collection: bool = False


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
            nodes.execute(statement(_NODES, self.database.prefix), [prefixes])
            for batch in batched(nodes, BATCH):
                workflows.update(node["workflow_id"] for node in batch)
                obstacles.update(self._batch(batch))
        return Judgement(len(workflows), tuple(sorted(obstacles)))

    def _rows(self, text: str, values: Sequence[Any]) -> list[dict[str, Any]]:
        return self.conn.cursor(row_factory=dict_row).execute(statement(text, self.database.prefix), values).fetchall()

    def _batch(self, nodes: Sequence[Mapping[str, Any]]) -> Iterator[Obstacle]:
        ids = {job_id for node in nodes for job_id in (*node["upstreams"], *(node["sources"] or ())) if job_id}
        upstreams = {row["oban_job_id"]: row for row in self._rows(_UPSTREAMS, [list(ids)])}
        readings: dict[int, list[_Reading]] = {}
        for node in nodes:
            step = self._step(node["worker"])
            if isinstance(step, StepNotFoundError):
                yield _obstacle(node, f"its function is gone: {step.message}", KEEP)
            elif node["map_id"] is not None:  # an item: what all items read is checked for their map
                yield from self._item(node, step, upstreams, readings)
            else:
                yield from self._node(node, step, upstreams, readings)
        yield from self._settled(readings)

    def _node(
        self,
        node: Mapping[str, Any],
        step: AnyStep,
        upstreams: Mapping[int, Mapping[str, Any]],
        readings: dict[int, list[_Reading]],
    ) -> Iterator[Obstacle]:
        read = signature(step)
        yield from _mapped(node, step)
        above = {row["step_name"]: row for job_id in node["upstreams"] if (row := upstreams.get(job_id))}
        for parameter in read.parameters:
            annotation = read.annotations.get(parameter.name)
            if parameter.role is Role.INPUT and node["args"] is not None:
                yield from _input(node, parameter, annotation)
            if parameter.role is not Role.UPSTREAM or parameter.source is None:
                continue
            upstream = above.get(parameter.source)
            if upstream is None:
                yield from _no_upstream(node, parameter, read.parameters, list(above))
            elif parameter.each:
                if upstream["outcome"] == "completed" and not upstream["is_map"] and not node["is_expanded"]:
                    reading = _Reading(node, parameter, list_of(annotation, parameter.each), is_collection=True)
                    readings.setdefault(upstream["oban_job_id"], []).append(reading)
            else:
                yield from self._upstream(node, parameter, annotation, upstream, readings)

    def _item(
        self,
        node: Mapping[str, Any],
        step: AnyStep,
        upstreams: Mapping[int, Mapping[str, Any]],
        readings: dict[int, list[_Reading]],
    ) -> Iterator[Obstacle]:
        read = signature(step)
        taken = {name: (source, item) for name, source, item in zip(*_taken(node), strict=True)}
        for parameter in read.parameters:
            if not parameter.each or parameter.name not in taken:
                continue  # checked for its map
            source, item = taken[parameter.name]
            annotation = read.annotations.get(parameter.name)
            if source == 0:
                yield from _value(node, parameter, annotation, item)
            elif source in upstreams:
                yield from self._upstream(node, parameter, annotation, upstreams[source], readings)

    def _upstream(
        self,
        node: Mapping[str, Any],
        parameter: ParameterSpec,
        annotation: Any,
        upstream: Mapping[str, Any],
        readings: dict[int, list[_Reading]],
    ) -> Iterator[Obstacle]:
        if upstream["outcome"] is None:
            if not upstream["is_map"]:  # the results of its items are not checked
                yield from self._unsettled(node, parameter, annotation, upstream)
        elif upstream["outcome"] == "completed" or upstream["is_map"]:
            readings.setdefault(upstream["oban_job_id"], []).append(_Reading(node, parameter, annotation))

    def _step(self, worker: str) -> AnyStep | StepNotFoundError:
        if worker not in self.steps:
            try:
                self.steps[worker] = load_step(worker.removeprefix(WORKERS))
            except StepNotFoundError as error:
                self.steps[worker] = error
        return self.steps[worker]

    def _settled(self, readings: Mapping[int, Sequence[_Reading]]) -> Iterator[Obstacle]:
        """Validate stored results. A large result is fetched only once, and separately."""
        for ids in batched(readings, 20):
            for row in self._rows(_RESULTS, [list(ids)]):
                tried: dict[tuple[Any, ...], str | None] = {}
                for reading in readings[row["oban_job_id"]]:
                    key = (reading.node["worker"], step_of(reading.node["step_name"]), reading.parameter.name)
                    if key not in tried:
                        tried[key] = _stored_problem(reading, row)
                    if problem := tried[key]:
                        yield _obstacle(reading.node, problem, ACCEPT)

    def _unsettled(
        self, node: Mapping[str, Any], parameter: ParameterSpec, annotation: Any, upstream: Mapping[str, Any]
    ) -> Iterator[Obstacle]:
        """Compare the schema of what an upstream will store with the one that the reader expects."""
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
        if step is not None and (signature(step).levels or step.is_per_model):
            return None  # it is a map now, which its own check reports
        current = json_schema.returned(signature(step).returns) if step is not None else None
        if reason := _refused(current, annotation):
            return reason, FIT
        if self.stopped:
            return None
        recorded = self._recorded(fingerprint).get(worker, {}).get("result")
        reason = _refused(recorded, annotation) if recorded != current else None
        return (f"where the code from before still runs, {reason}", BOTH) if reason else None

    def _recorded(self, fingerprint: str | None) -> Mapping[str, Any]:
        """The signatures of a workflow's functions when it was inserted, by worker; empty if they are unknown."""
        if fingerprint is None:
            return {}
        if fingerprint not in self.recorded:
            rows = self._rows(_SIGNATURES, [fingerprint])
            self.recorded[fingerprint] = json.loads(rows[0]["signatures"])["workers"] if rows else {}
        return self.recorded[fingerprint]


def _obstacle(node: Mapping[str, Any], problem: str, remedy: str) -> Obstacle:
    return Obstacle(
        flow=node["flow_name"],
        step=step_of(node["step_name"]),
        problem=problem,
        remedy=remedy,
        workflow_id=node["workflow_id"],
    )


def _input(node: Mapping[str, Any], parameter: ParameterSpec, annotation: Any) -> Iterator[Obstacle]:
    name, args = parameter.name, node["args"]
    if parameter.each:
        return  # a map over an input: its items are checked one by one
    if name not in args:
        if not parameter.has_default:
            yield _obstacle(node, f'input "{name}" was not given when the workflow was inserted', DEFAULT)
        return
    try:
        payload.decode_input(step_of(node["step_name"]), name, annotation, args[name])
    except StoredValueError as error:
        yield _obstacle(node, error.message, ACCEPT)


def _no_upstream(
    node: Mapping[str, Any], parameter: ParameterSpec, parameters: Sequence[ParameterSpec], above: Sequence[str]
) -> Iterator[Obstacle]:
    taken = {other.source for other in parameters if other.is_upstream}
    free = [name for name in above if name not in taken]
    waits = f"it waits for {quoted(above)}" if above else "it waits for none"
    remedy = f'name what it reads: {parameter.name}: Annotated[..., From("{free[0]}")]' if len(free) == 1 else KEEP
    yield _obstacle(
        node,
        f'parameter "{parameter.name}" takes the result of "{parameter.source}", for which the step did not wait when '
        f"the workflow was inserted: {waits}",
        remedy,
    )


def _mapped(node: Mapping[str, Any], step: AnyStep) -> Iterator[Obstacle]:
    """Check that the step maps over the same parameters as when it was inserted, or still runs once for each model."""
    then = sorted(node["parameters"] or ())
    now = [MODEL] if step.is_per_model else sorted(it.name for it in signature(step).parameters if it.each)
    if MODEL in (*then, *now) and then != now:
        change = (
            "it runs once for each model, which it did not"
            if MODEL in now
            else "it does not run once for each model, as it did"
        )
        yield _obstacle(node, f"{change} when the workflow was inserted", KEEP)
    elif then != now:
        over, before = quoted(now) if now else "nothing", quoted(then) if then else "nothing"
        yield _obstacle(node, f"it maps over {over}, and mapped over {before} when the workflow was inserted", KEEP)


def _taken(node: Mapping[str, Any]) -> tuple[Sequence[str], Sequence[int], Sequence[str]]:
    """For an item: the names of its mapped parameters, the source of each, and the values of those with source 0."""
    return node["parameters"] or (), node["sources"] or (), node["items"] or ()


def _value(node: Mapping[str, Any], parameter: ParameterSpec, annotation: Any, item: str) -> Iterator[Obstacle]:
    name = parameter.name
    try:
        payload.decode_result(
            step_of(node["step_name"]), name, parameter.source or name, annotation, item, is_item=True
        )
    except StoredValueError as error:
        yield _obstacle(node, error.message, ACCEPT)


def _stored_problem(reading: _Reading, row: Mapping[str, Any]) -> str | None:
    """Why a stored result can't be read; None if it can."""
    name, text = reading.parameter.name, row["result"]
    if row["is_map"]:
        text = collected(reading.annotation, text, row["absent"])
    elif text is None:
        text = "null"  # a plain Oban job has no result
    if reading.is_collection and not (text or "").startswith("["):
        return None  # the pairs of an object, or not a collection: reported when the map expands
    try:
        payload.decode_result(
            step_of(reading.node["step_name"]), name, reading.parameter.source or name, reading.annotation, text
        )
    except StoredValueError as error:
        return error.message
    return None


def _refused(stored: json_schema.Schema | None, annotation: Any) -> str | None:
    """As `refusal`. A field can be read by its name and by its alias, so it is refused only if both fail."""
    by_name = refusal(stored, json_schema.accepted(annotation))
    return by_name and refusal(stored, json_schema.accepted(annotation, by_alias=True))
