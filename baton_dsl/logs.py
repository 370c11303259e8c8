"""Log what runs: a line for the start and the end of each attempt, and the step's fields in every record of a step.

`baton worker` does all of this by itself. An application that runs Oban in its own process sets it up like this:

Example:
    ```python
    import logging
    from baton_dsl import logs

    handler = logging.StreamHandler()
    handler.setFormatter(logs.JsonFormatter())
    handler.addFilter(logs.StepFields())        # a filter of a logger would miss other loggers' records
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
    """Adds to the log records of a step its fields: `workflow_id`, `step`, `attempt`, and a few more.

    Add it to a handler. It lets every record through. Outside of steps, it adds nothing.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        """Add the fields, unless the record already has fields with these names."""
        job = current_job()
        if job is not None:
            for name, value in fields_of(job).items():
                record.__dict__.setdefault(name, value)
        return True


def step_fields(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """A processor for structlog that adds the fields of the running step. Outside of steps, it adds nothing."""
    job = current_job()
    if job is not None:
        for name, value in fields_of(job).items():
            event.setdefault(name, value)
    return event


_OF_A_RECORD: Final = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
"""The attributes that every record has."""


class JsonFormatter(logging.Formatter):
    """Formats each record as one line of JSON: the standard fields first, then its own.

    Characters that are not ASCII are escaped, so that no text can break a line or control a terminal.
    """

    def format(self, record: logging.LogRecord) -> str:
        """Format the record as JSON."""
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
    """Format a value that is not JSON; it must not lose the log line."""
    try:
        return str(value)
    except Exception as error:  # noqa: BLE001
        return f"a {type(value).__name__} without a text: {type(error).__name__}"


class TextFormatter(logging.Formatter):
    """Formats records as text, with time zones; records of a step's own code end with the step."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)-7s %(name)s: %(message)s")

    def formatTime(self, record: logging.LogRecord, datefmt: str | None = None) -> str:  # noqa: N802
        """Format the time in the zone of this machine, to the millisecond."""
        return datetime.fromtimestamp(record.created).astimezone().isoformat(" ", timespec="milliseconds")

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802
        """Format the message, with the step."""
        text = super().formatMessage(record)
        fields = record.__dict__
        if "step" not in fields or (record.name.startswith("baton_dsl.") and record.name != "baton_dsl.step"):
            return text  # our own records already name their step
        where = f'step "{fields["step"]}" of workflow {fields.get("workflow_id")}, attempt {fields.get("attempt")}'
        return f"{text} ({where})"
