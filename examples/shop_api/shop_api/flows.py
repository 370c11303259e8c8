"""The steps that fulfil an order."""

from pydantic import BaseModel
from sqlalchemy import update
from sqlalchemy.ext.asyncio import AsyncSession

from baton_dsl import Each, Flow, Input, StepContext, step
from shop_api.models import Article, Order


class Line(BaseModel):
    sku: str
    quantity: int


@step(queue="stock", max_attempts=3)
async def reserve(lines: Each[Input[Line]], session: AsyncSession) -> int:
    """Take one line of the order from the stock, and return its price.

    The stock and the result of the step are written in one transaction, so nothing is ever taken twice.
    """
    article = await session.get_one(Article, lines.sku, with_for_update=True)
    if article.stock < lines.quantity:
        raise LookupError(f"only {article.stock} of {lines.sku} are left")
    article.stock -= lines.quantity
    return article.price * lines.quantity


@step(max_attempts=5)
async def charge(reserve: list[int], customer: Input[str], context: StepContext) -> int:
    """Charge the customer. The key is the same for each attempt, so that a payment service charges once."""
    context.logger.info("charging %s %d, key %s", customer, sum(reserve), context.idempotency_key)
    return sum(reserve)


@step
async def confirm(charge: int, order_id: Input[int], session: AsyncSession) -> str:
    """Store the message for the customer, who asks the API for it."""
    await session.execute(update(Order).where(Order.id == order_id).values(status="confirmed", total=charge))
    return f"order {order_id} is confirmed"


fulfilment = Flow("fulfilment", reserve, charge, confirm)
