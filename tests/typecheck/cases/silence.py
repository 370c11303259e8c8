"""What mypy can't know is left alone: nothing is said here."""

from collections.abc import Callable
from functools import wraps
from typing import Annotated, Any

from baton_dsl import Flow, From, Input, Step, step

type Key = Input[str]
type Keys = Key
type Names = list[str]


def traced[**P, R](function: Callable[P, R]) -> Callable[P, R]:
    @wraps(function)
    def inner(*args: P.args, **kwargs: P.kwargs) -> R:
        return function(*args, **kwargs)

    return inner


@step
def names(key: Key, keys: Keys, other: Annotated[str, "metadata"] = From("key_of")) -> Names:
    return [key, keys, other]


@step
def key_of(names: Annotated[Names, "metadata"] = From("anything")) -> str:
    return names[0]


@step
@traced
def decorated(missing: int) -> int:
    return missing


@step
def generic[T](value: Input[T]) -> T:
    return value


@step
def takes(generic: int, decorated: str, anything: Any) -> None: ...


@step
def anything() -> Any: ...


def build(steps: list[Step[..., Any, Any, Any]], extra: Step[..., Any, Any, Any], which: str) -> None:
    Flow("dynamic", *steps, takes)
    Flow("unknown", extra, takes)
    Flow("named", takes.named(which), takes)
    register(Flow("given away", takes))


def register(flow: Flow) -> None: ...


generic("x")
by_list = [takes]
listed = Flow("listed", *by_list)
each = Flow("each", generic.bind(value=1), decorated.named("decorated"), anything, step(decorated.function))

hidden = Flow("hidden", decorated)


async def insert_hidden() -> None:
    await hidden.insert(missing=1)
