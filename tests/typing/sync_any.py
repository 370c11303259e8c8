"""Steps annotated `-> Any`, which fit every overload: a direct call is typed as the function's."""

from typing import Any, assert_type

from baton_dsl import step


@step
def anything() -> Any: ...


@step(queue="any")
def anything_queued(size: int) -> Any: ...


@step
async def anything_later() -> Any: ...


@step(queue="any")
def number(size: int) -> int:
    return size


assert_type(anything(), Any)
assert_type(anything_queued(1), Any)
assert_type(number(1), int)


async def main() -> None:
    assert_type(await anything_later(), Any)
