"""The doctor finds what a test broke, says what to do, and the advice repairs it."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

import psycopg
import pytest

from baton_dsl import Flow, Workflow
from baton_dsl.runtime import schema
from baton_dsl.runtime.database.database import Database
from baton_dsl.runtime.database.snapshot import read, read_sync
from baton_dsl.runtime.observing.doctor import Finding, Report, examine
from tests.conftest import StartOban, until
from tests.integration.modules import hooks, mapped, steps
from tests.integration.test_orphans import DEAD

TIMEOUT = 60


def chain() -> Flow[..., Any]:
    flow = Flow("chain").add("first", steps.noop).add("second", steps.noop, deps=["first"])
    return flow.add("third", steps.noop, deps=["second"])


def examined(dsn: str, prefix: str = "public", **options: Any) -> Report:
    return read_sync(Database.configured(dsn=dsn, prefix=prefix), examine(prefix, **options))


def the_one(report: Report) -> Finding:
    (finding,) = report.findings
    return finding


async def test_nothing_is_wrong_while_a_node_does_its_work(start_oban: StartOban, dsn: str) -> None:
    async with start_oban():
        workflow = await chain().insert()
        await workflow.wait(TIMEOUT)
        report = await read(Database.configured(dsn=dsn), examine("public"))
    assert report.findings == ()
    assert report.is_well
    assert re.fullmatch(
        r'PostgreSQL \d+\.\d+, oban [\d.]+, schema "public" of version \d+, 0 workflows under way', report.about
    )


def test_a_schema_that_is_not_there_is_to_be_installed(empty_dsn: str) -> None:
    finding = the_one(examined(empty_dsn, "tenant_1"))
    assert finding.message.startswith('the schema "tenant_1" has no tables "oban_jobs", "oban_producers"')
    assert finding.help == "run: baton install --dsn ... --prefix tenant_1"
    schema.install(empty_dsn, "tenant_1")
    assert examined(empty_dsn, "tenant_1").findings == ()


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (
            f"DELETE FROM baton_migrations WHERE version = {schema.VERSION}",
            f"the schema is of version {schema.VERSION - 1}, this library needs {schema.VERSION}",
        ),
        ("DROP FUNCTION baton_prune", 'functions are missing: "baton_prune"'),
        (
            "CREATE OR REPLACE FUNCTION baton_pause(workflow_ids text[]) RETURNS text[] LANGUAGE sql AS 'SELECT $1'",
            'functions differ from those of this library: "baton_pause"',
        ),
        (
            "DROP TRIGGER baton_job_changed ON oban_jobs",
            'triggers are missing: "baton_job_changed"; workflows don\'t notice when their jobs change',
        ),
    ],
)
def test_a_damaged_schema_is_told(dsn: str, conn: psycopg.Connection[Any], damage: str, message: str) -> None:
    conn.execute(damage)
    assert the_one(examined(dsn)).message == message
    schema.install(dsn)
    assert examined(dsn).findings == ()


def follow(conn: psycopg.Connection[Any], finding: Finding) -> None:
    """Follow the advice of a finding in psql."""
    _, statement = re.split(r"in psql: ", finding.help)
    conn.execute(statement.encode())


def test_a_trigger_that_is_off_is_told_and_what_it_has_missed(dsn: str, conn: psycopg.Connection[Any]) -> None:
    workflow = chain().insert(conn)
    conn.execute("ALTER TABLE oban_jobs DISABLE TRIGGER baton_job_changed")
    conn.execute("UPDATE oban_jobs SET state = 'completed' WHERE state = 'available'")
    off, missed = examined(dsn).findings
    assert 'the trigger "baton_job_changed" is disabled' in off.message
    assert missed.message == (
        f'1 step of workflow "{workflow.id}" did not settle, though the job is completed: a trigger was off'
    )
    follow(conn, off)
    follow(conn, missed)
    assert workflow.sync.status().counts == {"completed": 1, "available": 1, "suspended": 1}
    assert the_one(examined(dsn)).message == '1 job could start in queue "default", which no worker runs'


def test_a_trigger_of_the_application_that_depends_on_the_search_path_is_told(
    dsn: str, conn: psycopg.Connection[Any]
) -> None:
    conn.execute("CREATE TABLE seen (id bigint)")
    conn.execute(
        "CREATE FUNCTION see() RETURNS trigger LANGUAGE plpgsql AS "
        "'BEGIN INSERT INTO seen VALUES (NEW.id); RETURN NEW; END'"
    )
    conn.execute("CREATE TRIGGER seeing AFTER INSERT ON oban_jobs FOR EACH ROW EXECUTE FUNCTION see()")
    with pytest.raises(psycopg.errors.UndefinedTable):
        chain().insert(conn)
    (told,) = examined(dsn).findings
    assert told.message.startswith('the trigger "seeing" on "oban_jobs" sets no search_path')
    follow(conn, told)
    chain().insert(conn)
    assert conn.execute("SELECT count(*) FROM seen").fetchone() == (3,)


async def test_a_queue_that_nobody_runs_or_that_is_paused_is_told(start_oban: StartOban, dsn: str) -> None:
    async with start_oban(queues={"other": 1}):
        await chain().insert()
        finding = the_one(examined(dsn))
        assert finding.message == '1 job could start in queue "default", which no worker runs'
        assert finding.help == "start one: baton worker MODULE --queues default"
    async with start_oban(name="paused", queues={}) as oban:
        await oban.start_queue(queue="default", limit=1, paused=True)

        async def is_told() -> bool:
            messages = [finding.message for finding in examined(dsn).findings]
            return messages == ['1 job could start in queue "default", which is paused on all nodes that run it']

        await until(is_told)


def test_a_hook_whose_queue_nobody_runs_is_told(dsn: str, conn: psycopg.Connection[Any]) -> None:
    Flow("hooked", steps.noop, on_settled=hooks.settled, hook_queue="ops").insert(conn)
    conn.execute("UPDATE oban_jobs SET state = 'completed'")
    assert the_one(examined(dsn)).message == '1 job could start in queue "ops", which no worker runs'


def test_steps_without_jobs_and_jobs_without_steps_are_told(dsn: str, conn: psycopg.Connection[Any]) -> None:
    lost, stray = chain().insert(conn), chain().insert(conn)
    conn.execute("ALTER TABLE oban_jobs DISABLE TRIGGER ALL")
    conn.execute("DELETE FROM oban_jobs WHERE meta ->> 'workflow_id' = %s AND state = 'suspended'", [lost.id])
    conn.execute("ALTER TABLE oban_jobs ENABLE TRIGGER ALL")
    conn.execute("DELETE FROM workflow_nodes WHERE workflow_id = %s", [stray.id])
    conn.execute("DELETE FROM baton_workflows WHERE workflow_id = %s", [stray.id])
    _, jobless, nodeless = examined(dsn).findings
    assert (
        jobless.message
        == f'steps of workflow "{lost.id}" have lost their jobs and will never settle: "second", "third"'
    )
    assert nodeless.message == "3 jobs of deleted workflows can't run"
    assert nodeless.help == "cancel them: await oban.cancel_many_jobs([4, 5, 6])"
    assert Workflow.load(lost.id, dsn=dsn).sync.cancel() is True
    conn.execute("UPDATE oban_jobs SET state = 'cancelled' WHERE id > 3")
    assert examined(dsn).findings == ()


async def test_steps_of_a_process_that_is_gone_are_told(
    start_oban: StartOban, conn: psycopg.Connection[Any], dsn: str
) -> None:
    async with start_oban(queues={}) as oban:
        await chain().insert()
        await oban._query.fetch_jobs(demand=1, queue="default", node="web-1", uuid=DEAD)
    assert examined(dsn).findings == (), "a node would return it within seconds"
    conn.execute("UPDATE oban_jobs SET attempted_at = now() - interval '1 min' WHERE state = 'executing'")
    assert the_one(examined(dsn)).message == "1 step ran on node web-1, whose process is gone"


@pytest.mark.parametrize(
    ("damage", "what"),
    [
        ("UPDATE workflow_nodes SET pending = 2 WHERE step_name = 'third'", "the pending count of 1 step is wrong"),
        ("UPDATE oban_jobs SET state = 'suspended' WHERE state = 'executing'", "the pending count of 1 step is wrong"),
        ("UPDATE baton_workflows SET unsettled = 2", "its counts of settled steps are wrong"),
        ("UPDATE baton_workflows SET discarded = 1", "its counts of settled steps are wrong"),
    ],
)
async def test_wrong_counts_are_told_and_can_be_mended(
    start_oban: StartOban, conn: psycopg.Connection[Any], dsn: str, damage: str, what: str
) -> None:
    async with start_oban(queues={}) as oban:
        workflow = await chain().insert()
        await oban._query.fetch_jobs(demand=1, queue="default", node="web-1", uuid=DEAD)
    conn.execute("ALTER TABLE oban_jobs DISABLE TRIGGER ALL")
    conn.execute(damage)
    conn.execute("ALTER TABLE oban_jobs ENABLE TRIGGER ALL")
    finding = the_one(examined(dsn))
    assert finding.message == f'workflow "{workflow.id}": {what}'
    follow(conn, finding)
    assert not [finding for finding in examined(dsn).findings if "wrong" in finding.message]


def test_what_outlives_its_retention_is_advice(dsn: str, conn: psycopg.Connection[Any]) -> None:
    chain().insert(conn).sync.cancel()
    conn.execute("UPDATE baton_workflows SET settled_at = now() - interval '8 days'")
    assert examined(dsn).findings == ()
    report = examined(dsn, retain=timedelta(days=7))
    assert report.is_well
    assert the_one(report).message == "1 workflow ended more than 7 days ago, and is kept with all results"
    assert the_one(report).help == "remove them: baton prune --older-than 7d, or baton worker --retain 7d"


async def test_maps_and_their_items_are_counted_as_they_are(
    start_oban: StartOban, conn: psycopg.Connection[Any], dsn: str
) -> None:
    async with start_oban(queues={}):
        workflow = await mapped.greeting.insert(names=["Ann", "Bob"], greeting="Hi")
        await workflow.pause()
        assert examined(dsn).findings == ()
        await workflow.resume()
    served = [finding for finding in examined(dsn).findings if "which no worker runs" not in finding.message]
    assert served == []
    conn.execute("UPDATE workflow_nodes SET pending = 7 WHERE is_map")
    assert "the pending count of 1 step is wrong" in examined(dsn).findings[-1].message
