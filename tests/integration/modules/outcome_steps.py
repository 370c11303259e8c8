"""A step for each way in which one can end. A module of its own, since workers import steps by name."""

from __future__ import annotations

import asyncio
import sys

from oban import Cancel, Job, Snooze, worker
from pydantic_core import core_schema

from baton_dsl import Input, StepContext, step

HOUR = 3600


@step
def returns() -> int:
    return 7


@step(max_attempts=2, backoff=HOUR)
def raises() -> int:
    raise RuntimeError("no luck today")


@step(max_attempts=1)
def raises_at_last() -> int:
    raise RuntimeError("no luck at all")


@step
def returns_cancel() -> int:
    return Cancel("not today")  # type: ignore[return-value]


@step
def cancels(context: StepContext) -> int:
    context.cancel("not today")


@step
def returns_snooze() -> int:
    return Snooze(HOUR)  # type: ignore[return-value]


@step(max_attempts=1)
def snoozes(context: StepContext) -> int:
    context.snooze(HOUR)


@step(max_attempts=2, backoff=HOUR, timeout=0.05)
async def hangs() -> int:
    await asyncio.Event().wait()
    return 0


@step(max_attempts=1, timeout=0.05)
async def hangs_at_last() -> int:
    await asyncio.Event().wait()
    return 0


@step(max_attempts=1)
async def awaits_what_was_cancelled() -> int:
    task = asyncio.create_task(asyncio.sleep(HOUR))
    task.cancel()
    await task
    return 0


@step(max_attempts=2, backoff=HOUR)
def exits() -> int:
    sys.exit("out of here")


@step(max_attempts=1)
async def exits_at_last() -> int:
    sys.exit("out of here")


@step
async def cancels_in_a_group(context: StepContext) -> int:
    async def look() -> None:
        context.cancel("not today")

    async with asyncio.TaskGroup() as group:
        group.create_task(look())
    return 0


@step
def lies() -> int:
    return "seven"  # type: ignore[return-value]


@step
def boasts() -> int:
    return 10**2000


@step
def misreads(number: Input[int]) -> int:
    return number


@step(queue="later")
def told(first: int | None) -> str:
    """Returns the parameters that it received."""
    return repr(first)


@step(queue="later")
def before() -> None: ...


# --- what Oban's own reporting could not tell ------------------------------------------------------------------------


class NoTextError(Exception):
    def __str__(self) -> str:
        return "failed with {}: {}".format(*self.args)


class ExitingTextError(Exception):
    def __str__(self) -> str:
        sys.exit(3)


class Nameless(type):
    def __getattribute__(cls, name: str) -> object:
        raise RuntimeError(f"no {name}")


class WithoutANameError(Exception, metaclass=Nameless):
    pass


class Untold:
    def __repr__(self) -> str:
        raise RuntimeError("no luck with repr")


@step(max_attempts=1)
def raises_what_has_no_text() -> int:
    raise NoTextError(7)


@step(max_attempts=2, backoff=HOUR)
async def raises_what_exits_when_it_is_told() -> int:
    raise ExitingTextError


@step(max_attempts=1)
async def raises_what_has_no_name() -> int:
    raise WithoutANameError("no luck today")


@step(max_attempts=1)
def raises_generator_exit() -> int:
    raise GeneratorExit("no luck today")


@step(max_attempts=1)
async def raises_generator_exit_on_the_loop() -> int:
    await asyncio.sleep(0)
    raise GeneratorExit("no luck today")


@step(max_attempts=1)
def raises_stop_iteration() -> int:
    return next(iter(()))


@step(max_attempts=1)
async def raises_a_group_of_all_kinds() -> int:
    raise BaseExceptionGroup(
        "no luck today", [NoTextError(7), SystemExit(3), ExceptionGroup("inner", [WithoutANameError()])]
    )


@step(max_attempts=1)
def raises_a_long_text() -> int:
    raise ValueError("no luck " + "x" * 20_000_000 + " today")


@step(max_attempts=1)
async def raises_with_a_long_cause() -> int:
    raise ValueError("no luck today") from RuntimeError("x" * 20_000_000)


@step(max_attempts=1)
def raises_with_circular_causes() -> int:
    error, other = ValueError("no luck today"), ValueError("nor before")
    error.__cause__, other.__cause__ = other, error
    raise error


@step(max_attempts=1)
def raises_with_deep_causes() -> int:
    error = ValueError("no luck today")
    deepest: BaseException = error
    for number in range(20_000):
        deepest.__cause__ = deepest = ValueError(f"nor before {number}")
    raise error


def no_seconds(_attempt: int) -> float:
    return 1 / 0


@step(max_attempts=2, backoff=no_seconds)
def has_a_backoff_that_fails() -> int:
    raise RuntimeError("no luck today")


@step(max_attempts=2, backoff=lambda _attempt: float("nan"))
def has_a_backoff_that_is_no_number() -> int:
    raise RuntimeError("no luck today")


@step(max_attempts=2, backoff=lambda _attempt: 1e300)
def has_an_endless_backoff() -> int:
    raise RuntimeError("no luck today")


@step
def cancels_with_what_has_no_text() -> int:
    return Cancel(Untold())  # type: ignore[arg-type, return-value]


@step
def cancels_with_a_long_reason(context: StepContext) -> int:
    context.cancel("no luck " + "x" * 20_000_000)


@step(max_attempts=1)
def snoozes_for_no_time() -> int:
    return Snooze("soon")  # type: ignore[arg-type, return-value]


@step(max_attempts=1)
def snoozes_for_ages(context: StepContext) -> int:
    context.snooze(1e12)


@step
def snoozes_with_what_is_no_json() -> int:
    return Snooze(HOUR, meta={"why": object()})  # type: ignore[return-value]


class Choosy:
    """A type that validates when it is returned, and raises an unusual error when it is read."""

    @classmethod
    def __get_pydantic_core_schema__(cls, source: object, handler: object) -> core_schema.CoreSchema:
        def read(text: str) -> Choosy:
            if text in READ_ERRORS:
                raise READ_ERRORS[text]
            return cls(text)

        return core_schema.json_or_python_schema(
            json_schema=core_schema.no_info_after_validator_function(read, core_schema.str_schema()),
            python_schema=core_schema.is_instance_schema(cls),
            serialization=core_schema.plain_serializer_function_ser_schema(lambda choosy: choosy.how),
        )

    def __init__(self, how: str) -> None:
        self.how = how

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Choosy) and self.how == other.how

    __hash__ = object.__hash__


READ_ERRORS: dict[str, BaseException] = {
    "attribute": AttributeError("'list' object has no attribute 'split'"),
    "exit": SystemExit("no luck today"),
    "text": NoTextError(7),
    "name": WithoutANameError(),
}


@step
def misreads_by_a_validator(choosy: Input[Choosy]) -> int:
    return 0


@worker(queue="default", max_attempts=2)
class RaisesWhatHasNoText:
    async def process(self, job: Job) -> None:
        raise NoTextError(7)

    def backoff(self, job: Job) -> int:
        return HOUR


@worker(queue="default", max_attempts=1)
class Exits:
    async def process(self, job: Job) -> None:
        sys.exit("out of here")


@worker(queue="default", max_attempts=1)
class ClosesItself:
    async def process(self, job: Job) -> None:
        raise GeneratorExit("no luck today")


@worker(queue="default", max_attempts=1)
class RaisesALongText:
    async def process(self, job: Job) -> None:
        raise ValueError("no luck " + "x" * 20_000_000)


@step(max_attempts=50, backoff=HOUR)
def raises_a_long_text_each_time() -> int:
    raise ValueError("no luck " + "x" * 100_000 + " today")
