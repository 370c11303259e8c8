"""Many workflows with one statement: the same rows as single inserts, but all or none."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import psycopg
import pytest
from psycopg.rows import dict_row

from baton_dsl import Flow, FlowError
from baton_dsl.errors import EmptyFlowError, InputError, InsertTooLargeError, WorkflowExistsError
from baton_dsl.runtime.lowering import insert_arguments
from tests.conftest import StartOban
from tests.integration.callers import KINDS
from tests.integration.modules import hooks, mapped, steps

each_kind = pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)


def rows(conn: psycopg.Connection[Any], ids: list[str]) -> list[Any]:
    """All rows of some workflows, with positions instead of ids, and without times."""
    cursor = conn.cursor(row_factory=dict_row)
    written: list[Any] = []
    for workflow_id in ids:
        nodes = cursor.execute(
            "SELECT * FROM workflow_nodes WHERE workflow_id = %s ORDER BY oban_job_id", [workflow_id]
        ).fetchall()
        place = {node["oban_job_id"]: number for number, node in enumerate(nodes, 1)}
        jobs = cursor.execute("SELECT * FROM oban_jobs WHERE id = ANY(%s) ORDER BY id", [list(place)]).fetchall()
        whole = cursor.execute("SELECT * FROM baton_workflows WHERE workflow_id = %s", [workflow_id]).fetchall()
        for row in (*nodes, *jobs, *whole):
            for name, value in row.items():
                if name in ("oban_job_id", "id", "root_id", "map_id") and value is not None:
                    row[name] = place[value]
                elif name in ("upstreams", "downstreams", "sources", "optional", "beside") and value is not None:
                    row[name] = [place.get(abs(each), 0) * (-1 if each < 0 else 1) for each in value]
                elif name.endswith("_at"):
                    row[name] = value is not None
                elif name == "workflow_id":
                    row[name] = ids.index(value)
            row.get("meta", {}).pop("workflow_id", None)
        written.append((nodes, jobs, whole))
    return written


def ignoring(**options: Any) -> Flow:
    flow = Flow("dynamic", **options).add("top", steps.noop).add("side", steps.noop, deps=["top"])
    return flow.add("last", steps.noop, deps=["top", "side"], ignore_cancelled=True)


CASES: dict[str, tuple[Flow, list[dict[str, Any]]]] = {
    "inputs": (steps.billing, [{"api_key": "a"}, {"api_key": "b", "retries": 7}, {"api_key": "c"}]),
    "a map over a result": (mapped.summing, [{"count": 3}, {"count": 0, "offset": 2}]),
    "a map over an input": (
        mapped.greeting,
        [{"names": ["a", "b"], "greeting": "hi"}, {"names": [], "greeting": "ho"}, {"names": ["c"], "greeting": "hi"}],
    ),
    "edges without data": (ignoring(), [{}, {}]),
}


@pytest.mark.parametrize("case", CASES)
def test_what_is_written_is_what_single_inserts_write(conn: psycopg.Connection[Any], case: str) -> None:
    flow, inputs = CASES[case]
    alone = [flow.insert(conn, **given).id for given in inputs]
    together = [workflow.id for workflow in flow.insert_many(conn, inputs)]
    assert len({*alone, *together}) == 2 * len(inputs)
    for single, among in zip(alone, together, strict=True):
        assert rows(conn, [among]) == rows(conn, [single])


def test_each_has_options_of_its_own(conn: psycopg.Connection[Any]) -> None:
    options: list[dict[str, Any]] = [
        {"workflow_id": "first", "debug": True},
        {"ignore_discarded": True, "workflow_name": "labelled"},
        {"models": {"last": "small"}, "hook_queue": "hooks", "on_settled": hooks.settled},
        {},
    ]
    flow = ignoring(workflow_name="all")
    alone = [
        flow.options(**{**given, "workflow_id": f"alone-{at}"}).insert(conn).id for at, given in enumerate(options)
    ]
    together = [workflow.id for workflow in flow.insert_many(conn, [({}, given) for given in options])]
    assert together[0] == "first"
    for single, among in zip(alone, together, strict=True):
        assert rows(conn, [among]) == rows(conn, [single])


@each_kind
async def test_every_kind_of_connection_inserts_many(kind: Any, dsn: str, conn: psycopg.Connection[Any]) -> None:
    async with kind(dsn) as caller:
        workflows = await caller.insert_many(steps.billing, [{"api_key": str(number)} for number in range(3)])
        assert conn.execute("SELECT count(*) FROM workflow_nodes").fetchone() == (0,)
    ids = [workflow.id for workflow in workflows]
    given = conn.execute("SELECT workflow_id, inputs FROM baton_workflows").fetchall()
    assert dict(given) == {name: {"api_key": str(number)} for number, name in enumerate(ids)}
    assert conn.execute("SELECT count(*) FROM workflow_nodes").fetchone() == (12,)


@each_kind
async def test_an_id_that_is_taken_leaves_no_row_and_the_transaction_as_it_was(
    kind: Any, dsn: str, conn: psycopg.Connection[Any]
) -> None:
    conn.execute("CREATE TABLE customers (name text)")
    steps.billing.options(workflow_id="taken").insert(conn, api_key="k")
    many = [({"api_key": "k"}, {"workflow_id": name}) for name in ("a", "z", "taken", "b")]
    async with kind(dsn) as caller:
        await caller.execute("INSERT INTO customers VALUES ('ada')")
        with pytest.raises(WorkflowExistsError, match=r'workflows\[2\]: a workflow "taken" is in the database already'):
            await caller.insert_many(steps.billing, many)
        await caller.execute("INSERT INTO customers VALUES ('grace')")
    assert conn.execute("SELECT count(*) FROM customers").fetchone() == (2,)
    assert conn.execute("SELECT array_agg(workflow_id) FROM baton_workflows").fetchone() == (["taken"],)
    assert conn.execute("SELECT count(*) FROM workflow_nodes").fetchone() == (4,)


def test_an_error_in_the_middle_leaves_nothing(conn: psycopg.Connection[Any]) -> None:
    conn.execute("ALTER TABLE oban_jobs ADD CONSTRAINT fits CHECK (args ->> 'api_key' <> 'bad')")
    with pytest.raises(psycopg.errors.CheckViolation):
        steps.billing.insert_many(conn, [{"api_key": "good"}, {"api_key": "bad"}])
    assert conn.execute("SELECT count(*) FROM baton_workflows").fetchone() == (0,)


def test_the_same_id_twice_is_refused_before_the_first_row(conn: psycopg.Connection[Any]) -> None:
    with pytest.raises(WorkflowExistsError, match=r'workflows\[1\] has the id "x", as workflows\[0\] has'):
        steps.billing.options(workflow_id="x").insert_many(conn, [{"api_key": "k"}, {"api_key": "k"}])
    assert conn.execute("SELECT count(*) FROM baton_workflows").fetchone() == (0,)


def test_wrong_inputs_are_told_of_each_workflow(conn: psycopg.Connection[Any]) -> None:
    wrong: list[Any] = [{"api_key": "k"}, {"api_kee": "k"}, {"api_key": "k"}, {"api_key": 3}]
    with pytest.raises(InputError) as caught:
        steps.billing.insert_many(conn, wrong)
    messages = [finding.message for finding in caught.value.diagnostics]
    assert messages == [
        'workflows[1]: the flow has no input called "api_kee"; did you mean "api_key"?',
        'workflows[1]: input "api_key" is missing; step "fetch_token" needs it',
        'workflows[3]: input "api_key" must be str, got int',
    ]
    assert conn.execute("SELECT count(*) FROM baton_workflows").fetchone() == (0,)


def test_too_many_items_name_the_workflow(conn: psycopg.Connection[Any]) -> None:
    with pytest.raises(InputError, match=r'workflows\[1\]: input "names" .* it has 100,001 items'):
        mapped.greeting.insert_many(
            conn, [{"names": ["a"], "greeting": "hi"}, {"names": ["a"] * 100_001, "greeting": "hi"}]
        )


@pytest.mark.parametrize("given", [3, "api_key", ("api_key", {}), ({}, {}, {}), {3: "k"}, ({"api_key": "k"}, {1: 2})])
def test_what_is_no_mapping_is_refused(conn: psycopg.Connection[Any], given: Any) -> None:
    with pytest.raises(TypeError, match=r"workflows\[1\] must be a mapping of inputs by name, or a pair"):
        steps.billing.insert_many(conn, [{"api_key": "k"}, given])


def test_wrong_options_name_the_workflow(conn: psycopg.Connection[Any]) -> None:
    with pytest.raises(FlowError, match=r'workflows\[1\]: a flow has no option "workflow_idd"'):
        steps.billing.insert_many(conn, [{"api_key": "k"}, ({"api_key": "k"}, {"workflow_idd": "a"})])  # type: ignore[list-item]
    with pytest.raises(FlowError, match=r'workflows\[0\]: option "prefix" is the same for all'):
        steps.billing.insert_many(conn, [({"api_key": "k"}, {"prefix": "a"})])  # type: ignore[list-item]


def test_a_wrong_flow_is_told_once(conn: psycopg.Connection[Any]) -> None:
    with pytest.raises(EmptyFlowError, match='flow "empty" has no steps'):
        Flow("empty").insert_many(conn, [{}, {}])


async def test_no_workflows_are_no_statement(dsn: str, conn: psycopg.Connection[Any]) -> None:
    assert steps.billing.insert_many(conn, []) == []
    async with await psycopg.AsyncConnection.connect(dsn) as other:
        assert await steps.billing.insert_many(other, iter(())) == []


def test_many_take_one_statement(conn: psycopg.Connection[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[object] = []
    execute = psycopg.Cursor.execute

    def spy(self: Any, query: Any, *args: Any, **options: Any) -> Any:
        sent.append(query)
        return execute(self, query, *args, **options)

    monkeypatch.setattr(psycopg.Cursor, "execute", spy)
    steps.billing.insert_many(conn, ({"api_key": str(number)} for number in range(200)))
    assert len(sent) == 1


def test_too_much_for_one_statement_is_refused(conn: psycopg.Connection[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(insert_arguments, "MOST_CHARACTERS", 2_000)
    with pytest.raises(InsertTooLargeError, match=r"BTN540: 3 workflows are .* characters of JSON, the limit .* 2,000"):
        steps.billing.insert_many(conn, [{"api_key": "k" * 500}] * 3)


async def test_the_pool_of_the_instance_inserts_them_and_they_run(start_oban: StartOban) -> None:
    async with start_oban(queues={"default": 20, "auth": 5}):
        workflows = await steps.billing.insert_many(None, [{"api_key": str(number)} for number in range(10)])
        await asyncio.gather(*(workflow.wait(timeout=60) for workflow in workflows))
        reports = [await workflow.result(steps.report) for workflow in workflows]
    assert [report[-3:] for report in reports] == [f"{number}/3" for number in range(10)]


def test_two_that_overlap_at_once_wait_for_each_other_in_one_order(dsn: str, conn: psycopg.Connection[Any]) -> None:
    """In the order of the call, the first and the second would wait for each other."""

    def given(names: str) -> list[Any]:
        return [({"api_key": "k"}, {"workflow_id": name}) for name in names]

    taken: list[int] = []

    def other(start: Callable[[], object]) -> None:
        with psycopg.connect(dsn) as second:
            start()
            try:
                steps.billing.insert_many(second, given("dcba"))
            except WorkflowExistsError:
                taken.append(1)

    ready = threading.Event()
    with psycopg.connect(dsn) as first:
        steps.billing.insert_many(first, given("a"))
        thread = threading.Thread(target=other, args=[ready.set])
        thread.start()
        ready.wait()
        steps.billing.insert_many(first, given("bcd"))
    thread.join(20)
    assert taken == [1]
    assert conn.execute("SELECT count(*) FROM baton_workflows").fetchone() == (4,)
