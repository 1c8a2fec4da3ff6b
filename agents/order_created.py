"""``order.created``: the engine adds up orders per user.

Keyed by ``userId``. One event at a time, waiting for the database: run it with a ``concurrency``
above 1, and the orders of different users are added side by side on PostgreSQL.
"""

from __future__ import annotations

from models import OrderCreated
from tables.orders import Orders
from trunkline.delivery.handler import Context, Handler


def count_orders(orders: Orders) -> Handler:
    """Return the engine's handler (one event): number and sum of orders in ``user_totals``.

    The handler raises :class:`trunkline.errors.Permanent` for an order that can never be added.
    """

    async def count_orders(event: OrderCreated, context: Context) -> None:
        await orders.add(event, context)

    return count_orders
