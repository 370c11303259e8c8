"""A flow whose inputs are of many types."""

from datetime import date
from enum import Enum
from typing import Annotated, Literal

from pydantic import BaseModel, Field

from baton_dsl import Flow, Input, step


class Colour(Enum):
    RED = "red"
    GREEN = "green"


class Order(BaseModel):
    amount: Annotated[int, Field(ge=1)]
    token: str
    note: str = ""


@step
def take(
    since: Input[date],
    colour: Input[Colour],
    size: Input[Literal["s", "m"]],
    count: Input[Annotated[int, Field(le=9)]],
    name: Input[Annotated[str, Field(pattern="^[a-z]+$")]],
    order: Input[Order],
    factors: Input[list[float]],
    rest: Input[bool],
) -> str:
    return f"{since} {colour} {size} {count} {name} {order.amount} {factors} {rest}"


typed = Flow("typed", take)
