"""Mapped steps whose definitions are in another module than the flows."""

from collections.abc import Mapping
from typing import Annotated

from baton_dsl import Each, From, Input, Outcome, Skip, step

type Region = Annotated[str, "ISO 3166"]
type Regions = Each[Region]
type Found = Mapping[str, int] | Skip


@step
def regions(country: Each[Input[str]]) -> list[str]:
    return [country]


@step(min_success=0.5, max_items=100)
async def orders(regions: Each[Regions]) -> Found:
    return {regions: 1} if regions else Skip("no region")


@step(combine="zip")
def lines(
    order: Each[Each[Annotated[Mapping[str, int], From("orders")]]],
    region: Annotated[Each[Each[str]], From("regions")],
) -> int:
    return len(order) + len(region)


@step
def report(lines: list[list[Outcome[int]]], orders: list[Mapping[str, int]]) -> str:
    return f"{lines} {orders}"
