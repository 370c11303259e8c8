"""The log of steps, and the fields that name the step of each line."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
import structlog
from oban import Job, telemetry

from baton_dsl import logs
from baton_dsl.runtime.observing import step_log, structured
from tests.conftest import StartOban
from tests.integration.modules.logged_steps import failing, structured_talking, talking

TIMEOUT = 60
TOOK = {"duration": 12_000_000, "queue_time": 3_000_000_000}


@pytest.fixture
def lines() -> Iterator[io.StringIO]:
    """The log as JSON, at info."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(logs.JsonFormatter())
    handler.addFilter(logs.StepFields())
    root = logging.getLogger()
    before = root.level
    root.addHandler(handler)
    root.setLevel(logging.INFO)
    logs.log_steps()
    yield stream
    telemetry.detach(step_log._ID)
    root.removeHandler(handler)
    root.setLevel(before)


def read(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


async def test_each_line_of_hundreds_of_steps_at_once_names_its_own_step(
    start_oban: StartOban, lines: io.StringIO
) -> None:
    async with start_oban(queues={"default": 100}):
        workflow = await talking.options(workflow_name="mine").insert(count=150)
        assert (await workflow.wait(TIMEOUT)).outcome == "completed"
    told = read(lines)
    own = [line for line in told if line["logger"] == "shop" and line["message"] != "makes numbers"]
    assert len(own) == 300
    for line in own:
        verb, number = line["message"].split()
        assert (line["step"], line["workflow_id"]) == (f"{verb}[{number}]", workflow.id)
        assert (line["workflow"], line["attempt"], line["queue"], line["level"]) == ("mine", 1, "default", "info")
    by_context = [line for line in told if line["logger"] == "baton_dsl.step"]
    assert {line["step"] for line in by_context} == {f"says[{number}]" for number in range(150)}
    starts = [line for line in told if line["logger"] == "baton_dsl.steps" and "starts" in line["message"]]
    ends = [line for line in told if line.get("outcome") == "completed"]
    assert len(starts) == len(ends) == 301
    assert all(line["duration"] >= 0 and line["queue_time"] >= 0 and line["step"] for line in ends)
    outside = [line for line in told if line["logger"] == "oban"]
    assert not any("step" in line for line in outside)


async def test_an_attempt_that_failed_is_one_line_of_json(start_oban: StartOban, lines: io.StringIO) -> None:
    async with start_oban():
        workflow = await failing.insert()
        await workflow.wait(TIMEOUT)
    (line,) = (line for line in read(lines) if line["level"] == "error")
    assert (line["outcome"], line["step"], line["attempt"], line["error"]) == (
        "discarded",
        "fails",
        1,
        "RuntimeError: no stock",
    )
    assert line["message"].endswith("RuntimeError: no stock")


async def test_structlog_has_the_fields_by_its_context_variables_and_by_the_processor(start_oban: StartOban) -> None:
    seen: list[Any] = []

    def note(_logger: Any, _method: str, event: Any) -> Any:
        seen.append(dict(event))
        raise structlog.DropEvent

    structlog.configure(processors=[structlog.contextvars.merge_contextvars, note])
    structured.bind_steps()
    try:
        async with start_oban():
            workflow = await structured_talking.insert(count=3)
            await workflow.wait(TIMEOUT)
        assert {(it["event"], it["step"]) for it in seen} == {(number, f"structured[{number}]") for number in range(3)}
        assert structlog.contextvars.get_contextvars() == {}
        seen.clear()
        telemetry.detach(structured._ID)
        structlog.configure(processors=[logs.step_fields, note])
        async with start_oban():
            workflow = await structured_talking.insert(count=3)
            await workflow.wait(TIMEOUT)
        assert {(it["event"], it["step"]) for it in seen} == {(number, f"structured[{number}]") for number in range(3)}
    finally:
        telemetry.detach(structured._ID)
        structlog.reset_defaults()


def test_nobody_listens_to_the_start_and_end_of_steps_where_info_is_off(caplog: pytest.LogCaptureFixture) -> None:
    from oban.telemetry import core

    try:
        caplog.set_level(logging.WARNING, logger="baton_dsl.steps")
        logs.log_steps()
        assert [name for name, _ in core._handlers["oban.job.start"]] == []
        assert [name for name, _ in core._handlers["oban.job.exception"]] == [step_log._ID]
        caplog.set_level(logging.INFO, logger="baton_dsl.steps")
        logs.log_steps()
        assert [name for name, _ in core._handlers["oban.job.start"]] == [step_log._ID]
        assert [name for name, _ in core._handlers["oban.job.exception"]] == [step_log._ID]
    finally:
        telemetry.detach(step_log._ID)


@pytest.mark.parametrize(
    ("meta", "state", "level", "line"),
    [
        (
            {"workflow_id": "w-1", "workflow_name": "orders[3]"},
            "retryable",
            "WARNING",
            'step "orders[3]" of workflow w-1 failed in attempt 1 of 5: ValueError: no stock',
        ),
        (
            {"workflow_id": "w-1", "workflow_name": "orders"},
            "discarded",
            "ERROR",
            (
                'step "orders" of workflow w-1 failed in attempt 1 of 5: ValueError: no stock\n'
                "Traceback (most recent call last):\n  ... 1 frame of baton-dsl and Oban ...\n"
                '  File "/app/shop.py", line 3, in orders\nValueError: no stock\nat all'
            ),
        ),
        ({}, "retryable", "WARNING", "job 7 of app.Export failed in attempt 1 of 5: ValueError: no stock"),
    ],
)
def test_an_attempt_that_failed_is_a_line_and_the_last_one_has_its_traceback(
    lines: io.StringIO, caplog: pytest.LogCaptureFixture, meta: dict[str, Any], state: str, level: str, line: str
) -> None:
    job = Job(id=7, worker="app.Export", attempt=1, max_attempts=5, meta=meta)
    error = (
        'Traceback (most recent call last):\n  File "/site-packages/oban/_executor.py", line 97, in _process\n'
        '  File "/app/shop.py", line 3, in orders\nValueError: no stock\nat all\n'
    )
    told = {"job": job, "state": state, "traceback": error, "error_message": "no stock\nat all", **TOOK}
    telemetry.execute("oban.job.exception", told)
    assert [(record.levelname, record.getMessage()) for record in caplog.records] == [(level, line)]


def test_no_value_of_a_record_breaks_its_line() -> None:
    class Odd:
        def __str__(self) -> str:
            raise RuntimeError("no text")

    record = logging.makeLogRecord({"msg": "a\n\x1b\u202e", "odd": Odd(), "levelname": "INFO", "when": {1: {2}}})
    written = logs.JsonFormatter().format(record)
    assert written.isascii()
    assert written.isprintable()
    assert json.loads(written)["odd"] == "a Odd without a text: RuntimeError"


def test_a_line_of_a_steps_own_code_names_the_step_in_text_and_ours_do_not_twice() -> None:
    fields = {"step": "mail", "workflow_id": "w-1", "attempt": 2}
    own = logging.makeLogRecord({"name": "shop", "msg": "sends", "levelname": "INFO", **fields})
    ours = logging.makeLogRecord({"name": "baton_dsl.steps", "msg": "sends", "levelname": "INFO", **fields})
    assert logs.TextFormatter().format(own).endswith('shop: sends (step "mail" of workflow w-1, attempt 2)')
    assert logs.TextFormatter().format(ours).endswith("baton_dsl.steps: sends")
