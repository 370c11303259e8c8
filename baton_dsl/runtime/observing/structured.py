"""Provide the fields of the running step as context variables of structlog, if an application uses that."""

from __future__ import annotations

import importlib
from typing import Any, Final

from oban import telemetry

from baton_dsl.runtime.oban.jobs import fields_of

_ID: Final = "baton-structlog"


def bind_steps() -> None:
    """Set the fields of each attempt as structlog's context variables, in the attempt's own context.

    The processor `structlog.contextvars.merge_contextvars`, which is in structlog's default configuration, adds them.
    """
    bind = importlib.import_module("structlog.contextvars").bind_contextvars

    def start(_event: str, data: dict[str, Any]) -> None:
        bind(**fields_of(data["job"]))

    telemetry.detach(_ID)
    telemetry.attach(_ID, ["oban.job.start"], start)
