"""The fields of the step that runs as structlog's context variables, where an application uses that."""

from __future__ import annotations

import importlib
from typing import Any, Final

from oban import telemetry

from baton_dsl.runtime.oban.jobs import fields_of

_ID: Final = "baton-structlog"


def bind_steps() -> None:
    """Have structlog's context variables hold the fields of the attempt that runs: each has a context of its own.

    Processors see them by way of `structlog.contextvars.merge_contextvars`, as the default configuration has it.
    """
    bind = importlib.import_module("structlog.contextvars").bind_contextvars

    def start(_event: str, told: dict[str, Any]) -> None:
        bind(**fields_of(told["job"]))

    telemetry.detach(_ID)
    telemetry.attach(_ID, ["oban.job.start"], start)
