"""Steps that other cases take: their definitions are in another module than the flows."""

from typing import Annotated

from baton_dsl import From, Input, step


@step
async def orders(region: Input[str]) -> list[str]:
    return [region]


@step(after=("orders",))
def count(lines: Annotated[int, From("orders")]) -> int:
    return lines


def plain(orders: list[str]) -> int:
    return len(orders)


total = step(plain)
PAIR = (orders, count)
