"""One pod's SQL side as a process: ``python -m tests.support.sql_pod URL EVENTS``.

Starts the database, prints "ready", delivers EVENTS orders of 7 users and as many registrations,
each with its offset for an identity, and exits 0.
"""

from __future__ import annotations

import asyncio
import sys

from models import OrderCreated, UserRegistered
from tables.database import Database
from tables.orders import Orders
from tables.users import Users
from trunkline.delivery.handler import Context

BATCH = 50


async def run(url: str, events: int) -> None:
    async with Database(url) as database:
        print("ready", flush=True)
        orders, users = Orders(database), Users(database)
        for first in range(0, events, BATCH):
            offsets = range(first, min(first + BATCH, events))
            places = [Context("auth.registered", 0, offset, 1) for offset in offsets]
            registrations = [
                UserRegistered(user_id=f"u{offset % 7}", email="u@example.com")
                for offset in offsets
            ]
            await users.add(registrations, places)
            await orders.add_registrations(registrations, places)
            await asyncio.gather(*(add(orders, offset) for offset in offsets))


async def add(orders: Orders, offset: int) -> None:
    order = OrderCreated(order_id=f"o-{offset}", user_id=f"u{offset % 7}", amount_cents=3)
    await orders.add(order, Context("order.created", 0, offset, 1))


if __name__ == "__main__":
    asyncio.run(run(sys.argv[1], int(sys.argv[2])))
