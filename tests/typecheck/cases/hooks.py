"""Hooks of a flow take the status of its end."""

from baton_dsl import Flow, Input, WorkflowStatus, step


@step
def charge(card: Input[str]) -> str:
    return card


async def book(status: WorkflowStatus) -> None:
    print(status.outcome, status.counts["completed"] + 1)


def page(status: WorkflowStatus) -> str:
    return status.outcome


def count(status: int) -> None: ...


shop = Flow("shop", charge, on_settled=book, on_discarded=page, hook_queue="ops")
other = shop.options(on_cancelled=page, on_settled=None)
third = Flow("third", charge, on_settled=count)

# mypy:
# 16:12: error: Incompatible return value type (got "str | None", expected "str")  [return-value]
# 24:42: error: Argument "on_settled" to "Flow" has incompatible type "Callable[[int], None]"; expected "Callable[[WorkflowStatus], object] | None"  [arg-type]
