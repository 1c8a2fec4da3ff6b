"""The users that registered: one row per event of ``auth.registered`` (the db-server's table)."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import NamedTuple

from sqlalchemy import BigInteger, Column, Table, Text, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from models import UserRegistered
from tables.database import Database, metadata
from tables.identities import Identity, identity_columns, identity_of, identity_values, storable
from trunkline.delivery.handler import Context

registered_users = Table(
    "registered_users",
    metadata,
    *identity_columns(),
    Column("user_id", Text, nullable=False, index=True),
    Column("email", Text, nullable=False),
    Column("stored_at_ms", BigInteger, nullable=False),
    sqlite_with_rowid=False,
)


class RegisteredUser(NamedTuple):
    """One registration; ``stored_at_ms`` is when the first delivery was committed, in Unix time."""

    user_id: str
    email: str
    stored_at_ms: int


class Users:
    """Stores registrations and looks them up."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._store = database.insert(registered_users).on_conflict_do_nothing()

    async def add(self, events: Sequence[UserRegistered], contexts: Sequence[Context]) -> None:
        """Store each event once, however often it comes: all of them, or none.

        Raises:
            Permanent: A text can never be stored; nothing of the batch was.
            DependencyDown: The database is away.
            sqlalchemy.exc.DBAPIError, TimeoutError: The statement failed; it may pass.

        """
        if not events:
            return
        rows = _rows(events, contexts)

        async def store(connection: AsyncConnection) -> None:
            # One statement prepared once and run per row: no limit of bind variables is near.
            await connection.execute(self._store, rows)

        await self._database.write(store)

    async def count(self) -> int:
        """Return how many registrations are stored."""
        rows = await self._database.read(select(func.count()).select_from(registered_users))
        return int(rows[0][0])

    async def find(self, user_id: str) -> list[RegisteredUser]:
        """Return a user's registrations in the order of their Kafka timestamps."""
        table = registered_users.c
        rows = await self._database.read(
            select(table.user_id, table.email, table.stored_at_ms)
            .where(table.user_id == user_id)
            .order_by(table.timestamp_ms, table.topic, table.partition, table.offset)
        )
        return [RegisteredUser._make(row) for row in rows]


def _rows(
    events: Sequence[UserRegistered], contexts: Sequence[Context]
) -> list[dict[str, str | int]]:
    """Return rows in the order of identities: two pods that store the same ones cannot deadlock."""
    now_ms = time.time_ns() // 1_000_000
    found: dict[Identity, dict[str, str | int]] = {
        identity_of(context): {
            "user_id": storable(event.user_id, "$.userId", context),
            "email": storable(event.email, "$.email", context),
            "stored_at_ms": now_ms,
        }
        for event, context in zip(events, contexts, strict=True)
    }
    return [identity_values(identity) | found[identity] for identity in sorted(found)]
