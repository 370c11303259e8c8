"""What a worker's log says of attempts that failed."""

import logging
from typing import Any

import pytest
from oban import Job, telemetry

from baton_dsl.runtime.executing import failures


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> Any:
    failures.log_failures()
    caplog.set_level(logging.INFO, logger=failures.__name__)
    yield caplog
    telemetry.detach("baton-failures")


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
                "Traceback (most recent call last):\n  File ...\nValueError: no stock\nat all"
            ),
        ),
        ({}, "retryable", "WARNING", "job 7 of app.Export failed in attempt 1 of 5: ValueError: no stock"),
    ],
)
def test_an_attempt_that_failed_is_a_line_and_the_last_one_has_its_traceback(
    log: pytest.LogCaptureFixture, meta: dict[str, Any], state: str, level: str, line: str
) -> None:
    job = Job(id=7, worker="app.Export", attempt=1, max_attempts=5, meta=meta)
    error = "Traceback (most recent call last):\n  File ...\nValueError: no stock\nat all\n"
    told = {"job": job, "state": state, "traceback": error, "error_message": "no stock\nat all"}
    telemetry.execute("oban.job.exception", told)
    assert [(record.levelname, record.getMessage()) for record in log.records] == [(level, line)]
