"""Inputs are checked at `bind` and `insert`, each as a value for the parameter that takes it."""

from typing import TypedDict, assert_type

from baton_dsl import Flow, Input, step


class Row(TypedDict):
    amount: int


@step
def charge(region: Input[str], rows: Input[list[Row]], fee: Input[float] = 0.5) -> int:
    return 1


eu = charge.named("eu").bind(region="eu", fee=1)
us = charge.named("us").bind(regoin="us", rows=[{"amount": 1}])
uk = charge.named("uk").bind(rows=3)
assert_type(eu("eu", []), int)

shop = Flow("shop", eu, charge)


async def main(more: dict[str, object]) -> None:
    await shop.insert(region="eu", rows=[{"amount": 1}])
    await shop.insert(region="eu", rows=[], fee=2)
    await shop.insert(region="eu", rows=[{"amount": "1"}])
    await shop.insert()
    await shop.insert(region=1, rows=[], feee=1)
    await shop.options(debug=True).insert(region=1, rows=[])
    await shop.insert(region="eu", **more)

# mypy:
# 18:30: error: step "us" has no input called "regoin"; did you mean "region"?  [baton-input]
# 18:30: note: help: the inputs are region, rows, fee
# 19:30: error: input "rows" is list[Row], got int  [baton-input]
# 19:30: note: help: give a value of type list[Row]
# 28:53: error: Incompatible types (expression has type "str", TypedDict item "amount" has type "int")  [typeddict-item]
# 29:11: error: input "rows" is missing; step "eu" needs it  [baton-input]
# 29:11: note: help: give it: insert(..., rows=...)
# 29:11: error: input "region" is missing; step "charge" needs it  [baton-input]
# 29:11: note: help: give it: insert(..., region=...)
# 30:23: error: input "region" is str, got int  [baton-input]
# 30:23: note: help: give a value of type str
# 30:42: error: the flow has no input called "feee"; did you mean "fee"?  [baton-input]
# 30:42: note: help: the inputs are rows, region, fee
# 31:43: error: input "region" is str, got int  [baton-input]
# 31:43: note: help: give a value of type str
