"""The flow on the screenshots of the documentation: an order, from payment to invoice."""

from __future__ import annotations

import asyncio

from baton_dsl import Each, Flow, Input, step


@step
async def order(number: Input[int]) -> dict[str, int]:
    await asyncio.sleep(0.05)
    return {"number": number, "total": 120}


@step
async def customer(order: dict[str, int]) -> str:
    await asyncio.sleep(0.25)
    return f"customer of {order['number']}"


@step
async def parcels(order: dict[str, int]) -> list[str]:
    await asyncio.sleep(0.1)
    return [f"{order['number']}-{letter}" for letter in "ABCDEF"]


@step(max_attempts=2, backoff=0.4)
async def charge(order: dict[str, int], customer: str, declined: Input[bool] = False) -> str:
    await asyncio.sleep(0.3)
    if declined:
        raise RuntimeError("card declined: insufficient funds")
    return f"payment of {order['total']} by {customer}"


@step
async def packed(parcels: Each[str]) -> str:
    await asyncio.sleep(0.2)
    return f"{parcels} packed"


@step
async def labels(packed: list[str], customer: str) -> list[str]:
    await asyncio.sleep(0.15)
    return [f"{parcel} for {customer}" for parcel in packed]


@step
async def shipped(labels: list[str], charge: str) -> int:
    await asyncio.sleep(0.1)
    return len(labels)


@step(queue="mail")
async def invoice(charge: str, customer: str) -> str:
    await asyncio.sleep(0.1)
    return f"{customer}: {charge}"


@step
async def closed(shipped: int, invoice: str) -> str:
    return f"{shipped} parcels; {invoice}"


fulfilment = Flow("fulfilment", order, customer, parcels, charge, packed, labels, shipped, invoice, closed)


@step
async def rates(day: Input[str]) -> list[float]:
    await asyncio.sleep(0.1)
    return [1.08, 0.86]


@step
async def ledger(rates: list[float]) -> float:
    await asyncio.sleep(0.2)
    return sum(rates)


closing = Flow("closing", rates, ledger)
