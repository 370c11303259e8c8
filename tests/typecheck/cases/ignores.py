"""An error is silenced by its own code or by the parent's, its notes with it."""

from baton_dsl import Flow, step


@step
def price() -> str:
    return "1"


@step
def total(price: int) -> int:  # type: ignore[baton-upstream-type]
    return price


@step
def count(price: int) -> int:  # type: ignore[baton]
    return price


@step
def again(again: int) -> int:  # type: ignore[baton-cycle]
    return again


shop = Flow("shop", price, total, count, again)
twice = Flow("twice", price, total, count)

# mypy:
# 22:11: error: step "again" waits for itself  [baton-self-dependency]
# 22:11: note: Error code "baton-self-dependency" not covered by "type: ignore[baton-cycle]" comment
# 22:11: note: help: rename the parameter, mark it as an input, or drop the name
