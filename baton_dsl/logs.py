"""Logs of what runs: a line for the start and the end of each attempt, and every line of a step with its fields.

`baton worker` does all of this by itself. An application that runs Oban in its own process does:

Example:
    ```python
    import logging
    from baton_dsl import logs

    handler = logging.StreamHandler()
    handler.setFormatter(logs.JsonFormatter())
    handler.addFilter(logs.StepFields())        # on handlers: those of loggers don't see what other loggers pass on
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    logs.log_steps()
    ```

    With structlog, `logs.step_fields` is a processor: `structlog.configure(processors=[logs.step_fields, ...])`.
"""

from __future__ import annotations

import json
import logging
from collections.abc import MutableMapping
from datetime import UTC, datetime
from typing import Any, Final

from oban import current_job

from baton_dsl.runtime.oban.jobs import fields_of
from baton_dsl.runtime.observing.step_log import log_steps as log_steps

__all__ = ["JsonFormatter", "StepFields", "TextFormatter", "log_steps", "step_fields"]


class StepFields(logging.Filter):
    """Gives the log records of a step its fields: `workflow_id`, `step`, `attempt`, and a few more.

    Lets every record through. It belongs on a handler. Outside of steps it adds nothing.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        """Add the fields, unless the record has fields of these names."""
        job = current_job()
        if job is not None:
            for name, value in fields_of(job).items():
                record.__dict__.setdefault(name, value)
        return True


def step_fields(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """A processor for structlog that adds the fields of the step that runs; it adds nothing outside of steps."""
    job = current_job()
    if job is not None:
        for name, value in fields_of(job).items():
            event.setdefault(name, value)
    return event


_OF_A_RECORD: Final = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
"""Attributes that every record has."""


class JsonFormatter(logging.Formatter):
    """Writes each record as one line of JSON: what every record has, then its own fields.

    Every character that is not ASCII is escaped, so nothing in a line moves a cursor or ends it.
    """

    def format(self, record: logging.LogRecord) -> str:
        """The record as JSON."""
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            "pid": record.process,
        }
        for name, value in vars(record).items():
            if name not in _OF_A_RECORD:
                line.setdefault(name, value)
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        elif record.exc_text:
            line["exception"] = record.exc_text
        if record.stack_info:
            line["stack"] = record.stack_info
        return json.dumps(line, default=_shown)


def _shown(value: object) -> str:
    """What is no JSON; a log line is never lost for it."""
    try:
        return str(value)
    except Exception as error:  # noqa: BLE001
        return f"a {type(value).__name__} without a text: {type(error).__name__}"


class TextFormatter(logging.Formatter):
    """Writes records as text, those of a step's own code with the step behind them; times have their zone."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)-7s %(name)s: %(message)s")

    def formatTime(self, record: logging.LogRecord, datefmt: str | None = None) -> str:  # noqa: N802
        """The time in the zone of this machine, to the millisecond."""
        return datetime.fromtimestamp(record.created).astimezone().isoformat(" ", timespec="milliseconds")

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802
        """The message, with the step."""
        told = super().formatMessage(record)
        fields = record.__dict__
        if "step" not in fields or (record.name.startswith("baton_dsl.") and record.name != "baton_dsl.step"):
            return told  # our own name the step that they are about
        where = f'step "{fields["step"]}" of workflow {fields.get("workflow_id")}, attempt {fields.get("attempt")}'
        return f"{told} ({where})"
