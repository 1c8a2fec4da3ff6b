"""``auth.registered``: the db-server stores the user, the engine counts registrations per user.

Keyed by ``userId``. Both take a batch of one partition's events, for which the database is asked
once, and both give the same result however often an event is delivered.
"""

from __future__ import annotations

from models import UserRegistered
from tables.orders import Orders
from tables.users import Users
from trunkline.delivery.handler import Context, Handler


def store_users(users: Users) -> Handler:
    """Return the db-server's handler (batch): one row per event in ``registered_users``.

    The handler raises :class:`trunkline.errors.Permanent` when an event of the batch can never be
    stored; then none of the batch is.
    """

    async def store_users(events: list[UserRegistered], contexts: list[Context]) -> None:
        await users.add(events, contexts)

    return store_users


def count_registrations(orders: Orders) -> Handler:
    """Return the engine's handler (batch): registrations per user in ``user_totals``.

    The handler raises as that of :func:`store_users` does.
    """

    async def count_registrations(events: list[UserRegistered], contexts: list[Context]) -> None:
        await orders.add_registrations(events, contexts)

    return count_registrations
