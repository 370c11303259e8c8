"""The state machine in SQL behaves like its pure model, in any order of events."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Coroutine, Iterable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import hypothesis.strategies as st
import oban.oban
import psycopg
import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test
from oban import Oban
from oban._executor import AckAction
from psycopg_pool import AsyncConnectionPool

from baton_dsl import Flow
from baton_dsl.core.lifecycle import Node, Outcome, Over, State, Workflow
from baton_dsl.runtime import schema
from baton_dsl.runtime.insert import _INSERT
from baton_dsl.runtime.lowering.insert_arguments import arguments_of
from baton_dsl.runtime.lowering.lower import Lowered, LoweredMap, lower
from baton_dsl.runtime.sql.statements import statement
from tests.integration.modules import steps

LATER = 3600
FAR = timedelta(days=365)

SETTLE_ONE = (
    "SELECT is_acknowledged, id FROM baton_settle_one(%s::int8, %s::int2, %s, 'default', 0::int2, %s::text[], %s, 8192)"
)

later = steps.noop.named("later")
later.options = {"scheduled_in": LATER}

kinds = st.sampled_from(["step", "step", "step", "job", "later", "map", "map", "deep map", "zip", "product", "window"])
nodes = st.tuples(st.lists(st.integers(0, 59), max_size=4), st.booleans(), st.booleans(), kinds, st.booleans())
results = st.sampled_from(["7", "[]", "[1]", "[1, 2]", "[[1], [], [2, 3]]", '{"a": 1, "b": [2]}'])
picks = st.lists(st.integers(0, 59), min_size=1, max_size=6)
"""Which nodes an event is about, by position."""


class Lifecycle(RuleBasedStateMachine):
    """Random events on one workflow; `dsn` is set by the test."""

    dsn: str

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.conn = psycopg.connect(self.dsn, autocommit=True)
        self.pool = AsyncConnectionPool[Any](self.dsn, min_size=1, max_size=2, open=False)
        self.runner.run(self.pool.open())
        self.oban = self.runner.run(_new_oban(self.pool))
        self.model = Workflow({})
        self.ids: dict[str, int] = {}
        self.workflow_id = ""

    def teardown(self) -> None:
        self.runner.run(self.pool.close())
        self.runner.close()
        self.conn.execute("SET session_replication_role = replica")  # without triggers
        for table in ("oban_jobs", "workflow_nodes", "baton_workflows"):
            self.conn.execute(f"DELETE FROM {table}")
        self.conn.close()
        oban.oban._instances.pop("lifecycle", None)

    def run[T](self, coroutine: Coroutine[Any, Any, T]) -> T:
        return self.runner.run(coroutine)

    # --- the workflow ----------------------------------------------------------------------------------------------

    @initialize(shape=st.lists(nodes, min_size=1, max_size=60))
    def insert(self, shape: list[tuple[list[int], bool, bool, str, bool]]) -> None:
        flow = Flow("random")
        model: dict[str, Node] = {}
        for number, (above, ignore_cancelled, ignore_discarded, kind, is_optional) in enumerate(shape):
            upstreams = tuple(sorted({f"n{index % number}" for index in above})) if number else ()
            over = _over(kind, upstreams)
            model[f"n{number}"] = Node(
                upstreams=upstreams,
                ignore_cancelled=ignore_cancelled,
                ignore_discarded=ignore_discarded,
                is_later=kind == "later",
                optional=frozenset(upstreams if is_optional else ()),
                over=over,
                state=State.SUSPENDED if over is None else State.GONE,
            )
            flow.add(
                f"n{number}",
                {"job": steps.ExportWorker.new({}), "later": later}.get(kind, steps.noop),
                deps=upstreams,
                ignore_cancelled=ignore_cancelled,
                ignore_discarded=ignore_discarded,
            )
        lowered = _with_maps(lower(flow, {}), model)
        self.conn.execute(
            statement(_INSERT, "public"), {**arguments_of([lowered], schema.VERSION), "traceparent": None}
        )
        self.workflow_id = lowered.workflow_id
        self.model = Workflow(model)
        self.model.insert()
        self.look()

    def look(self) -> None:
        """Update the model after maps may have expanded."""
        rows = self.conn.execute("SELECT step_name, oban_job_id FROM workflow_nodes").fetchall()
        self.ids = dict(rows)

    @invariant()
    def the_database_is_as_the_model_says(self) -> None:
        if not self.ids:
            return
        self.look()
        rows = self.conn.execute(
            "SELECT step_name, coalesce(job.state::text, 'gone'), outcome, by_upstream, "
            "CASE WHEN outcome IS NULL THEN pending END, items, held "
            "FROM workflow_nodes LEFT JOIN oban_jobs AS job ON job.id = oban_job_id ORDER BY oban_job_id"
        ).fetchall()
        actual = {name: (state, *others) for name, state, *others in rows}
        expected = {
            name: (
                node.state.value,
                node.outcome and node.outcome.value,
                node.by_upstream,
                self.model.pending(name) if node.outcome is None else None,
                node.items,
                node.is_held,
            )
            for name, node in self.model.nodes.items()
        }
        assert actual == expected, {
            name: (actual.get(name), expected.get(name))
            for name in actual | expected
            if actual.get(name) != expected.get(name)
        }
        workflow = self.conn.execute(
            "SELECT unsettled, cancelled, discarded, outcome, settled_at IS NOT NULL FROM baton_workflows"
        ).fetchone()
        ended = self.model.outcome
        counts = [self.model.count(outcome) for outcome in (None, Outcome.CANCELLED, Outcome.DISCARDED)]
        assert workflow == (*counts, ended and ended.value, ended is not None)

    @invariant()
    def no_node_waits_for_what_never_comes(self) -> None:
        for name, node in self.model.nodes.items():
            if node.outcome is None and node.state is State.SUSPENDED and not self.model.is_paused:
                outcomes = [self.model.nodes[upstream].outcome for upstream in node.upstreams]
                in_flight = [
                    other.outcome is None and other.is_held is False
                    for other in self.model.nodes.values()
                    if other.root == node.root
                ]
                assert None in outcomes or (node.is_held and any(in_flight)), name

    def change(self, states: Mapping[str, State]) -> None:
        """Tell the model about a statement that changed jobs, with the items that now have a place in a window."""
        rows = self.conn.execute("SELECT step_name FROM workflow_nodes WHERE NOT held ORDER BY oban_job_id").fetchall()
        self.model.change(states, [name for (name,) in rows])

    # --- who acts --------------------------------------------------------------------------------------------------

    def chosen(self, positions: Iterable[int], fits: Callable[[State], bool] = lambda _: True) -> list[str]:
        """The nodes at those positions, among those whose job is in a fitting state."""
        names = [name for name, node in self.model.nodes.items() if not node.is_map and fits(node.state)]
        return sorted({names[position % len(names)] for position in positions}) if names else []

    def jobs(self, names: Iterable[str]) -> list[int]:
        return [self.ids[name] for name in names]

    def attempts(self) -> dict[str, tuple[int, int]]:
        rows = self.conn.execute("SELECT id, attempt, max_attempts FROM oban_jobs").fetchall()
        names = {job_id: name for name, job_id in self.ids.items()}
        return {names[job_id]: (attempt, most) for job_id, attempt, most in rows}

    @rule(demand=st.integers(1, 8))
    def oban_fetches(self, demand: int) -> None:
        jobs = self.run(self.oban._query.fetch_jobs(demand=demand, queue="default", node="n", uuid="u"))
        for job in jobs:
            assert self.model.nodes[job.meta["workflow_name"]].state is State.AVAILABLE
        self.change({job.meta["workflow_name"]: State.EXECUTING for job in jobs})

    @rule(positions=picks, places=st.integers(0, 2), result=results, skips=st.sampled_from([False, False, True]))
    def functions_return(self, positions: list[int], places: int, result: str, skips: bool) -> None:
        names = self.chosen(positions, lambda state: state is State.EXECUTING)
        if not names:
            return
        attempts = self.attempts()
        slots = [{"queue": "default", "priority": 0, "places": places, "by": ["n", "u"]}] if places else []
        rows = self.conn.execute(
            "SELECT id FROM baton_settle(%s, %s::int2[], %s, NULL, %s::json, false) WHERE id IS NOT NULL",
            [
                self.jobs(names),
                [attempts[name][0] for name in names],
                [None if skips else result] * len(names),
                json.dumps(slots),
            ],
        ).fetchall()
        claimed = {job_id for (job_id,) in rows}
        assert len(claimed) <= places
        self.look()
        chosen = [name for name, job_id in self.ids.items() if job_id in claimed]
        self.model.settle(names, chosen, json.loads(result), skips=skips)

    @rule(position=st.integers(0, 59), has_place=st.booleans(), yields=st.booleans(), result=results)
    def one_function_returns(self, position: int, has_place: bool, yields: bool, result: str) -> None:
        names = self.chosen([position], lambda state: state is State.EXECUTING)
        if not names:
            return
        waits = any(node.state is State.AVAILABLE for node in self.model.nodes.values())
        values = [self.ids[names[0]], self.attempts()[names[0]][0], result, ["n", "u"] if has_place else None, yields]
        row = self.conn.execute(SETTLE_ONE, values).fetchone()
        assert row is not None
        _, claimed = row
        assert claimed is None or (has_place and not (yields and waits))
        self.look()
        self.model.settle(names, [name for name, job_id in self.ids.items() if job_id == claimed], json.loads(result))

    @rule(positions=picks, result=results, alone=st.booleans())
    def an_answer_comes_of_an_attempt_that_was_given_up(
        self, positions: list[int], result: str, alone: bool = False
    ) -> None:
        """Its result counts, but its job has been taken by somebody else."""
        names = self.chosen(positions, lambda state: state in (State.AVAILABLE, State.EXECUTING, State.RETRYABLE))
        names = names[:1] if alone else names
        if not names:
            return
        if alone:
            row = self.conn.execute(SETTLE_ONE, [self.ids[names[0]], 99, result, None, False]).fetchone()
            assert row == (False, None)
        else:
            self.conn.execute(
                "SELECT FROM baton_settle(%s, %s::int2[], %s, NULL, '[]', false)",
                [self.jobs(names), [99] * len(names), [result] * len(names)],
            ).fetchall()
        for name in names:
            node = self.model.nodes[name]
            if node.outcome is None:
                node.outcome, node.result = Outcome.COMPLETED, json.loads(result)
        self.model.settle([])

    @rule(
        positions=picks,
        ending=st.sampled_from(["completed", "retryable", "cancelled", "discarded", "scheduled"]),
        seconds=st.sampled_from([0, LATER]),
    )
    def oban_acknowledges(self, positions: list[int], ending: str, seconds: int) -> None:
        names = self.chosen(positions, lambda state: state is State.EXECUTING)
        fetched = [self.run(self.oban.get_job(self.ids[name])) for name in names]
        is_snooze = ending == "scheduled"
        again = is_snooze or ending == "retryable"
        acks = [
            AckAction(
                job=job,
                state=ending,
                attempt_change=-1 if is_snooze else None,
                schedule_in=seconds if again else None,
                error=None if ending in ("completed", "scheduled") else {"error": "no luck"},
            )
            for job in fetched
            if job is not None
        ]
        if acks:
            self.run(self.oban._query.ack_jobs(acks))
        for name in names:  # Oban sends one statement for each
            if again:
                self.model.nodes[name].is_later = seconds > 0
            self.change({name: State(ending)})

    @rule()
    def oban_stages(self) -> None:
        self.run(self.oban._query.stage_jobs(1000, ["default"], before=datetime.now(UTC) + FAR))
        waiting = self.chosen(range(60), lambda state: state in (State.SCHEDULED, State.RETRYABLE))
        self.change(dict.fromkeys(waiting, State.AVAILABLE))

    @rule()
    def the_lifeline_looks(self) -> None:
        """It leaves running steps alone."""
        exhausted = [name for name, (attempt, most) in self.attempts().items() if attempt >= most]
        self.run(self.oban._query.rescue_jobs(0))
        names = [name for name in exhausted if self.model.nodes[name].state is State.AVAILABLE]
        self.change(dict.fromkeys(names, State.DISCARDED))

    @rule()
    def the_process_dies(self) -> None:
        attempts = self.attempts()
        counted = "SELECT meta ->> 'workflow_name', coalesce((meta ->> 'rescued')::int, 0) FROM oban_jobs"
        crashes = dict(self.conn.execute(counted).fetchall())
        most = {name: attempts[name][1] - crashes[name] for name in crashes}
        for _ in range(2):  # suspected, then sure
            self.conn.execute("SELECT baton_rescue('0 s')")
        self.change(
            {
                name: State.AVAILABLE if crashes[name] + 1 < most[name] else State.DISCARDED
                for name in self.chosen(range(60), lambda state: state is State.EXECUTING)
            }
        )

    @rule(positions=picks)
    def somebody_cancels(self, positions: list[int]) -> None:
        names = self.chosen(positions)
        self.run(self.oban.cancel_many_jobs(self.jobs(names)))
        self.change(
            {
                name: State.CANCELLED
                for name in names
                if self.model.nodes[name].state.is_queued or self.model.nodes[name].state is State.SUSPENDED
            }
        )

    @rule(positions=picks)
    def somebody_retries(self, positions: list[int]) -> None:
        names = self.chosen(positions, lambda state: state is not State.GONE)
        self.run(self.oban.retry_many_jobs(self.jobs(names)))
        names = [n for n in names if self.model.nodes[n].state not in (State.AVAILABLE, State.EXECUTING)]
        for name in names:
            self.model.nodes[name].is_later = False
        self.change(dict.fromkeys(names, State.AVAILABLE))

    @rule(positions=st.lists(st.integers(0, 59), min_size=1, max_size=2))
    def somebody_deletes(self, positions: list[int]) -> None:
        names = self.chosen(positions, lambda state: state not in (State.EXECUTING, State.GONE))
        self.run(self.oban.delete_many_jobs(self.jobs(names)))
        self.change(dict.fromkeys(names, State.GONE))

    @rule(positions=picks, state=st.sampled_from([state for state in State if state is not State.GONE]))
    def somebody_updates_in_sql(self, positions: list[int], state: State) -> None:
        names = self.chosen(positions, lambda state: state is not State.GONE)
        if state in (State.SUSPENDED, State.EXECUTING):  # nobody waits by decree, nor runs
            names = [name for name in names if self.model.nodes[name].state is state]
        ended = [name for name in names if self.model.nodes[name].state.is_final]
        for some in ([name for name in names if name not in ended], ended):  # a retry ends the stop of a workflow
            self.conn.execute("UPDATE oban_jobs SET state = %s WHERE id = ANY(%s)", [state.value, self.jobs(some)])
            self.change(dict.fromkeys(some, state))

    def operate(self, function: str) -> bool:
        row = self.conn.execute(f"SELECT {function}(ARRAY[%s])", [self.workflow_id]).fetchone()
        return row == ([self.workflow_id],)

    @rule()
    def an_operator_pauses(self) -> None:
        applies = self.model.outcome is None and not self.model.is_paused
        assert self.operate("baton_pause") is applies
        if applies:
            self.model.pause()

    @rule()
    def an_operator_resumes(self) -> None:
        assert self.operate("baton_resume") is self.model.is_paused
        self.model.resume()

    @rule()
    def an_operator_cancels(self) -> None:
        applies = self.model.outcome is None
        assert self.operate("baton_stop") is applies
        if applies:
            self.model.stop()

    @rule()
    def an_operator_retries(self) -> None:
        attempts = self.attempts()
        retriable = {id(node) for node in self.model.retriable()}
        for name, node in self.model.nodes.items():
            if id(node) in retriable and node.state.is_final and attempts[name][0]:
                node.is_later = False
        assert self.operate("baton_retry") is bool(self.model.retriable())
        self.model.retry()

    @rule(position=st.integers(0, 59))
    def an_operator_retries_from_a_step(self, position: int) -> None:
        attempts = self.attempts()
        name = list(self.model.nodes)[position % len(self.model.nodes)]
        applies = not self.model.held(name)
        row = self.conn.execute("SELECT baton_retry_from(ARRAY[%s], %s)", [self.workflow_id, name]).fetchone()
        assert row == ([self.workflow_id] if applies else [],)
        for below in self.model.below(name) if applies else ():
            if not self.model.nodes[below].is_map and attempts[below][0]:
                self.model.nodes[below].is_later = False
        self.model.retry_from(name)

    @rule(positions=picks)
    def gates_find_that_it_is_too_early(self, positions: list[int]) -> None:
        names = self.chosen(positions, lambda state: state is State.EXECUTING)
        attempts = self.attempts()
        self.conn.execute(
            "SELECT baton_park(%s, %s::int2[])", [self.jobs(names), [attempts[name][0] for name in names]]
        )
        for name in names:
            self.model.park(name)


def _over(kind: str, upstreams: tuple[str, ...]) -> Over | None:
    """What a node maps over: its first upstreams, or values if it has none."""
    wanted = 2 if kind in ("zip", "product") else 1
    sources = (*upstreams[:wanted], *[None] * (wanted - len(upstreams)))
    values: tuple[object, ...] = tuple([[1], [2, 3]] if source is None else None for source in sources)
    match kind:
        case "map" | "zip":
            return Over(sources=sources, values=values)
        case "deep map":
            return Over(sources=sources, values=values, levels=2, least=1)
        case "product":
            return Over(sources=sources, values=values, is_product=True, most=3)
        case "window":
            return Over(sources=sources, values=values, window=1)
        case _:
            return None


def _with_maps(lowered: Lowered, model: dict[str, Node]) -> Lowered:
    """Turn some steps into maps, and some edges into needed ones: the flow itself has only `deps`."""
    position = {name: number for number, name in enumerate(lowered.names, start=1)}
    maps = []
    for name, node in model.items():
        if (over := node.over) is None:
            continue
        rules = {
            "max_items": over.most,
            "combine": "product" if over.is_product else "zip",
            "max_concurrency": over.window,
            "least": over.least,
        }
        maps.append(
            LoweredMap(
                position=position[name],
                sources=[position[source] if source else 0 for source in over.sources],
                beside=[],
                facts={
                    "levels": over.levels,
                    "parameters": [f"p{number}" for number in range(len(over.sources))],
                    "rules": {key: value for key, value in rules.items() if value is not None},
                },
                items=json.dumps(over.values),
            )
        )
    needed = [
        -source if lowered.names[target - 1] and model[lowered.names[target - 1]].optional else source
        for source, target in zip(map(abs, lowered.edge_from), lowered.edge_to, strict=True)
    ]
    return replace(lowered, maps=maps, edge_from=needed)


async def _new_oban(pool: AsyncConnectionPool[Any]) -> Oban:
    return Oban(pool=pool, name="lifecycle")


def _machine(machine: type[Lifecycle], dsn: str) -> type[Lifecycle]:
    class Here(machine):  # type: ignore[misc, valid-type]
        pass

    Here.dsn = dsn
    return Here


def _drive(machine: type[Lifecycle], dsn: str, **options: Any) -> None:
    run_state_machine_as_test(
        _machine(machine, dsn),
        settings=settings(deadline=None, suppress_health_check=list(HealthCheck), print_blob=True, **options),
    )


def test_a_window_lets_items_go_in_order_also_when_one_settle_takes_several_rounds(dsn: str) -> None:
    """A former bug: a map is created in the first round, and its first item may run in the second."""
    machine = _machine(Lifecycle, dsn)()
    try:
        step, maps = (([], False, False, kind, False) for kind in ("step", "deep map"))
        machine.insert([maps, step, step, ([0, 1], False, False, "window", False)])
        machine.an_answer_comes_of_an_attempt_that_was_given_up([3], "7")
        machine.an_operator_cancels()
        machine.an_operator_retries()
        machine.an_answer_comes_of_an_attempt_that_was_given_up([0, 2], "7")
        assert {name: node.is_held for name, node in machine.model.nodes.items() if node.parent == "n3"} == {
            "n3[0]": False,
            "n3[1]": True,
        }
        machine.the_database_is_as_the_model_says()
    finally:
        machine.teardown()


def test_a_map_over_one_that_is_refused_in_the_same_round_counts_it_once(dsn: str) -> None:
    """A former bug: a map expands while a child of its upstream map is refused."""
    machine = _machine(Lifecycle, dsn)()
    try:
        step = ([], False, False, "step", False)
        machine.insert(
            [step, ([0], False, False, "deep map", False), step, ([0, 58], False, True, "product", False), *[step] * 12]
        )
        machine.functions_return(places=0, positions=[0, 1], result="7", skips=False)
        machine.an_answer_comes_of_an_attempt_that_was_given_up([0], "[1]")
        machine.the_database_is_as_the_model_says()
    finally:
        machine.teardown()


def test_whatever_happens_the_database_is_as_the_model_says(dsn: str) -> None:
    _drive(Lifecycle, dsn, max_examples=60, stateful_step_count=30)


@pytest.mark.slow
def test_whatever_happens_for_long_the_database_is_as_the_model_says(dsn: str) -> None:
    _drive(Lifecycle, dsn, max_examples=2000, stateful_step_count=60)
