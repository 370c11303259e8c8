"""BTN305: an option of a step or a flow that is unknown or out of range."""

import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Final, cast

from baton_dsl.core.diagnostics import Diagnostic, did_you_mean
from baton_dsl.core.rules import map_option, model_option
from baton_dsl.core.rules.map_option import WAYS
from baton_dsl.core.rules.rule import Context, Door, Example, Rule
from baton_dsl.core.spec import UNKNOWN, Option
from baton_dsl.core.wording import suggestion_after, unstorable

finding = map_option.finding

LONGEST_NAME: Final = 255
"""The most characters of the name of a step, a flow or a queue."""
MOST_ATTEMPTS: Final = 32_767
"""`oban_jobs.max_attempts` is a smallint."""

MOST_ITEMS: Final = 2_147_483_647
"""Counts of items are PostgreSQL's integers."""

MOST_SECONDS: Final = 100 * 366 * 24 * 60 * 60
"""A hundred years: a longer duration, such as infinity, is a mistake."""


def run(context: Context) -> Iterator[Diagnostic]:
    """A finding for each wrong option of the flow and of each step."""
    yield from flow_options(context.flow.options)
    for step in context.flow.steps:
        if step.options:  # most steps of a large flow have none
            yield from options(step.name, step.options, is_async=step.is_async)
        if step.options or step.is_mapped:
            yield from map_option.of_map(step)


def options(step: str, given: Mapping[str, Option], *, is_async: bool | None = None) -> Iterator[Diagnostic]:
    """The findings for the options of a step. There is none for a value that is not a literal."""
    for name, option in given.items():
        if name not in CHECKS:
            nearest = did_you_mean(name, CHECKS)
            yield finding(
                f'step "{step}" has an unknown option "{name}"' + suggestion_after(nearest),
                help=f"the options are {', '.join(CHECKS)}",
                suggestion=nearest,
                step=step,
                place=option.place,
            )
        elif option.value is not UNKNOWN and (expected := CHECKS[name](option.value)):
            yield finding(
                f'option "{name}" of step "{step}" must be {expected}, got {_show(option.value)}',
                step=step,
                place=option.place,
            )
    if is_async is False and "cancellable" in given and given["cancellable"].value is True:
        yield finding(
            f"step \"{step}\" can't be cancellable: it is not async, and a thread can't be stopped",
            help="make it an async def, or look at StepContext.cancelled() now and then",
            step=step,
            place=given["cancellable"].place,
        )
    if "scheduled_in" in given and "scheduled_at" in given:
        yield finding(
            f'step "{step}" has both "scheduled_in" and "scheduled_at"',
            help="keep one of them",
            step=step,
            place=given["scheduled_at"].place,
        )


def flow_options(given: Mapping[str, Option]) -> Iterator[Diagnostic]:
    """The findings for the options of a flow. There is none for a value that is not a literal."""
    for name, option in given.items():
        if name not in FLOW_CHECKS:
            nearest = did_you_mean(name, FLOW_CHECKS)
            yield finding(
                f'a flow has no option "{name}"' + suggestion_after(nearest),
                help=f"the options are {', '.join(FLOW_CHECKS)}",
                suggestion=nearest,
                place=option.place,
            )
        elif option.value is not UNKNOWN and (expected := FLOW_CHECKS[name](option.value)):
            yield finding(
                f'option "{name}" of a flow must be {expected}, got {_show(option.value)}', place=option.place
            )


def wrong_name(name: object) -> str | None:
    """What a name must be, or None if it is right."""
    if not isinstance(name, str) or not name or name != name.strip():
        return "a name without blanks at its ends"
    if len(name) > LONGEST_NAME:
        return f"at most {LONGEST_NAME} characters long"
    if not name.isprintable() and any(
        unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp") for character in name
    ):
        return "a name of printable characters"
    return None


def wrong_step_name(name: object) -> str | None:
    """What the name of a step must be, or None if it is right."""
    if expected := wrong_name(name):
        return expected
    # "orders[3]" is an item of the map "orders".
    return 'a name without "]" at its end' if str(name).endswith("]") else None


def _show(value: object) -> str:
    shown = repr(value)
    return shown if len(shown) <= 60 else f"{shown[:40]}... ({len(shown)} characters)"


def _whole(low: int, high: int) -> Callable[[object], str | None]:
    def check(value: object) -> str | None:
        ok = isinstance(value, int) and not isinstance(value, bool) and low <= value <= high
        return None if ok else f"a whole number from {low} to {high}"

    return check


def _way(value: object) -> str | None:
    return None if value in WAYS else '"product" or "zip"'


def _success(value: object) -> str | None:
    match value:
        case bool():
            ok = False
        case int():
            ok = 1 <= value <= MOST_ITEMS
        case float():
            ok = 0 < value <= 1
        case _:
            ok = False
    return None if ok else "a whole number from 1, or a share above 0.0 and up to 1.0"


def _flag(value: object) -> str | None:
    return None if isinstance(value, bool) or value is None else "True or False"


def _seconds(value: object) -> float | None:
    """The seconds of a duration; None if the value is not a duration, or too long."""
    if isinstance(value, timedelta):
        value = value.total_seconds()
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) <= MOST_SECONDS:
        return None
    return float(value)


def _duration(value: object) -> str | None:
    seconds = _seconds(value)
    return None if seconds is not None and seconds > 0 else "a positive number of seconds or a timedelta"


def _delay(value: object) -> str | None:
    seconds = _seconds(value)
    return None if seconds is not None and seconds >= 0 else "a number of seconds or a timedelta, zero or more"


def _backoff(value: object) -> str | None:
    return None if callable(value) or _delay(value) is None else "a number of seconds, a timedelta or a function"


def _moment(value: object) -> str | None:
    return None if isinstance(value, datetime) and value.tzinfo else "a datetime with a time zone"


def _names(value: object) -> str | None:
    ok = isinstance(value, tuple | list) and all(isinstance(item, str) and item.strip() for item in value)
    return _storable(value) if ok else "a tuple or list of names"


def _storable(texts: object) -> str | None:
    reasons = (unstorable(str(text)) for text in cast("Iterable[str]", texts))
    return next((f"names that PostgreSQL can store ({reason})" for reason in reasons if reason), None)


def _money(value: object) -> str | None:
    ok = isinstance(value, Decimal) or (isinstance(value, int) and not isinstance(value, bool))
    ok = ok and (not isinstance(value, Decimal) or value.is_finite()) and cast("Decimal", value) >= 0
    return None if ok else 'an exact number, zero or more, such as Decimal("0.50")'


CHECKS: Final[dict[str, Callable[[object], str | None]]] = {
    "name": wrong_step_name,
    "queue": wrong_name,
    "max_attempts": _whole(1, MOST_ATTEMPTS),
    "max_crashes": _whole(1, MOST_ATTEMPTS),
    "priority": _whole(0, 9),
    "tags": _names,
    "timeout": _duration,
    "backoff": _backoff,
    "cancellable": _flag,
    "scheduled_in": _delay,
    "scheduled_at": _moment,
    "after": _names,
    "ignore_cancelled": _flag,
    "ignore_discarded": _flag,
    "combine": _way,
    "max_concurrency": _whole(1, MOST_ITEMS),
    "max_items": _whole(1, MOST_ITEMS),
    "min_success": _success,
    "max_cost": _money,
    "max_input_tokens": _whole(0, MOST_ITEMS),
    "max_output_tokens": _whole(0, MOST_ITEMS),
    "models": model_option.wrong_models,
}
"""The options of `step`, each with a check that says what the value must be, or None."""


def _label(value: object) -> str | None:
    return None if value is None or wrong_name(value) is None else f"a name of at most {LONGEST_NAME} characters"


A_HOOK: Final = "a function of one argument that a worker can import by name"

FLOW_CHECKS: Final[dict[str, Callable[[object], str | None]]] = {
    "workflow_id": _label,
    "workflow_name": _label,
    "ignore_cancelled": lambda value: None if isinstance(value, bool) else "True or False",
    "ignore_discarded": lambda value: None if isinstance(value, bool) else "True or False",
    "debug": lambda value: None if isinstance(value, bool) else "True or False",
    "models": model_option.wrong_models_by_step,
    "budget": lambda value: None if value is None else _money(value),
    "oban": lambda value: None if wrong_name(value) is None else "the name of an Oban instance",
    "prefix": lambda value: None if value is None or wrong_name(value) is None else "the name of a schema",
    "on_settled": lambda value: None if value is None or callable(value) else A_HOOK,
    "on_cancelled": lambda value: None if value is None or callable(value) else A_HOOK,
    "on_discarded": lambda value: None if value is None or callable(value) else A_HOOK,
    "hook_queue": wrong_name,
}
"""The options of `Flow`, each with a check that says what the value must be, or None."""

UNTYPED: Final = frozenset({Door.LIVE, Door.TEXT})
"""The front ends without a type checker. mypy itself reports an unknown option as a wrong call of `step`."""

RULE = Rule(
    code=finding.code,
    slug=finding.slug,
    summary="an option of a step or a flow that is unknown or out of range",
    why="A wrong option would only show as a database error at insert, or worse, in a worker at night.",
    bad=(
        Example(
            """\
from baton_dsl import Flow, step

@step(max_attempts=0)
def charge() -> int:
    return 1

shop = Flow("shop", charge)
""",
            ('3:7: BTN305: option "max_attempts" of step "charge" must be a whole number from 1 to 32767, got 0',),
        ),
        Example(
            """\
from baton_dsl import Flow, step

@step(max_crashes=40_000)
def charge() -> int:
    return 1

shop = Flow("shop", charge)
""",
            ('3:7: BTN305: option "max_crashes" of step "charge" must be a whole number from 1 to 32767, got 40000',),
        ),
        Example(
            """\
from baton_dsl import Flow, step

@step(max_cost=-1)
def charge() -> int:
    return 1

shop = Flow("shop", charge)
""",
            (
                (
                    '3:7: BTN305: option "max_cost" of step "charge" must be an exact number, zero or more, '
                    'such as Decimal("0.50"), got -1'
                ),
            ),
        ),
        Example(
            """\
from baton_dsl import Flow, step

@step(
    queue=" ",
    priority=12,
    after="orders",
    timeout=-1.5,
)
def charge() -> int:
    return 1

shop = Flow("shop", charge)
""",
            (
                '4:5: BTN305: option "queue" of step "charge" must be a name without blanks at its ends, got \' \'',
                '5:5: BTN305: option "priority" of step "charge" must be a whole number from 0 to 9, got 12',
                '6:5: BTN305: option "after" of step "charge" must be a tuple or list of names, got \'orders\'',
                (
                    '7:5: BTN305: option "timeout" of step "charge" must be a positive number of seconds '
                    "or a timedelta, got -1.5"
                ),
            ),
        ),
        Example(
            """\
from baton_dsl import Flow, step

@step(queue="shop", max_attempt=3)
def charge() -> int:
    return 1

shop = Flow("shop", charge)
""",
            ('3:21: BTN305: step "charge" has an unknown option "max_attempt"; did you mean "max_attempts"?',),
            UNTYPED,
        ),
        Example(
            """\
from baton_dsl import Flow, step

@step
def charge() -> int:
    return 1

shop = Flow("shop", charge, workflow_name=" shop")
""",
            (
                (
                    '7:29: BTN305: option "workflow_name" of a flow must be a name of at most 255 characters, '
                    "got ' shop'"
                ),
            ),
        ),
        Example(
            """\
from baton_dsl import Flow, step

@step
def charge() -> int:
    return 1

shop = Flow("shop", charge, ignore_canceled=True)
""",
            ('7:29: BTN305: a flow has no option "ignore_canceled"; did you mean "ignore_cancelled"?',),
            UNTYPED,
        ),
        Example(
            """\
from baton_dsl import Flow, step

@step(cancellable=True)
def charge() -> int:
    return 1

shop = Flow("shop", charge)
""",
            ("3:7: BTN305: step \"charge\" can't be cancellable: it is not async, and a thread can't be stopped",),
        ),
        *model_option.BAD,
        *map_option.BAD,
    ),
    good=(
        Example(
            """\
from datetime import timedelta

from baton_dsl import Flow, step

RETRIES = 3

@step(queue="llm", max_attempts=RETRIES, priority=9, tags=["slow"], timeout=timedelta(minutes=5), backoff=0.5)
def charge() -> int:
    return 1

@step(after=("charge",), scheduled_in=60, ignore_cancelled=True, name="clean-up", cancellable=True)
async def cleanup() -> None: ...

shop = Flow("shop", charge, cleanup, workflow_name="nightly", models={"*": "small"}, prefix=None)
"""
        ),
        *map_option.GOOD,
    ),
    run=run,
    is_about_a_step=True,
)
