"""The API: an order and its workflow are written in one transaction, or not at all."""

from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import Depends, FastAPI, HTTPException
from pydantic import BaseModel
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine

from shop_api.flows import Line, fulfilment
from shop_api.models import Order
from shop_api.settings import API_DSN, url

# A transaction may run in another session of the server than the one before, so no statement is prepared.
engine = create_async_engine(url(API_DSN), connect_args={"prepare_threshold": None})
app = FastAPI(title="shop")


async def new_session() -> AsyncIterator[AsyncSession]:
    async with AsyncSession(engine, expire_on_commit=False) as session:
        yield session


Session = Annotated[AsyncSession, Depends(new_session)]


class NewOrder(BaseModel):
    customer: str
    lines: list[Line]


class PlacedOrder(BaseModel):
    id: int
    status: str
    total: int | None


@app.post("/orders", status_code=201)
async def place(new: NewOrder, session: Session) -> PlacedOrder:
    """Take an order. It exists if and only if the workflow that fulfils it exists."""
    async with session.begin():
        order = Order(customer=new.customer)
        session.add(order)
        await session.flush()
        flow = fulfilment.options(workflow_id=f"order-{order.id}")
        await flow.insert(session, lines=new.lines, customer=new.customer, order_id=order.id)
    return PlacedOrder(id=order.id, status=order.status, total=None)


@app.get("/orders/{order_id}")
async def look(order_id: int, session: Session) -> PlacedOrder:
    """The progress of an order."""
    order = await session.get(Order, order_id)
    if order is None:
        raise HTTPException(404, f"there is no order {order_id}")
    return PlacedOrder(id=order.id, status=order.status, total=order.total)
