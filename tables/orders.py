"""What each user ordered, in sums: the engine's table, right under any number of redeliveries.

An event's identity and what it adds are written in one transaction, and what is added depends on
whether the identity was new. ``applied_events`` grows with every event: see :meth:`Orders.prune`.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from sqlalchemy import (
    BigInteger,
    BindParameter,
    CheckConstraint,
    Column,
    Table,
    Text,
    bindparam,
    delete,
    literal_column,
    select,
    tuple_,
)
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.sql.base import Executable

from models import OrderCreated, UserRegistered
from tables.database import Database, Insert, metadata
from tables.identities import (
    Identity,
    identity_columns,
    identity_of,
    identity_values,
    storable,
)
from trunkline.delivery.handler import Context
from trunkline.errors import Permanent

applied_events = Table(
    "applied_events",
    metadata,
    *identity_columns(),
    Column("applied_at_ms", BigInteger, nullable=False, index=True),
    sqlite_with_rowid=False,
)

user_totals = Table(
    "user_totals",
    metadata,
    Column("user_id", Text, primary_key=True),
    Column("registrations", BigInteger, nullable=False),
    Column("orders", BigInteger, nullable=False),
    Column("total_cents", BigInteger, nullable=False),
    # A sum beyond 64 bits is an error on PostgreSQL; SQLite would go on with a rounded float.
    CheckConstraint("typeof(total_cents) = 'integer'", name="total_cents_fits_in_64_bits").ddl_if(
        dialect="sqlite"
    ),
    sqlite_with_rowid=False,
)

#: Rows that one transaction of :meth:`Orders.prune` deletes: short ones hold nobody up.
_PRUNE_ROWS = 5_000


class Total(NamedTuple):
    """What one user did so far."""

    registrations: int = 0
    orders: int = 0
    total_cents: int = 0

    def plus(self, other: Total) -> Total:
        """Return the sum of two."""
        return Total(*(mine + theirs for mine, theirs in zip(self, other, strict=True)))


class Change(NamedTuple):
    """What one event adds to one user."""

    user_id: str
    adds: Total


class Orders:
    """Adds up orders and registrations per user, and looks the sums up."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._apply = database.insert(applied_events).on_conflict_do_nothing()
        self._sum = _adding(database.insert(user_totals))
        self._apply_and_sum = _in_one_statement(database) if database.is_postgresql else None

    async def add(self, event: OrderCreated, context: Context) -> None:
        """Add an order to its user's total, once, however often it comes.

        Raises:
            Permanent: The text can never be stored, or the total would not fit in 64 bits.
            DependencyDown: The database is away.
            sqlalchemy.exc.DBAPIError, TimeoutError: The statement failed; it may pass.

        """
        user_id = storable(event.user_id, "$.userId", context)
        change = Change(user_id, Total(orders=1, total_cents=event.amount_cents))
        try:
            await self._add_one(identity_of(context), change)
        except Permanent as error:
            raise Permanent(
                f"{context.topic}[{context.partition}] at offset {context.offset}: adding "
                f"{event.amount_cents} cents to the total of user {user_id!r} fails, most likely "
                "because the sum does not fit in 64 bits. Check the user's row in user_totals."
            ) from error

    async def add_registrations(
        self, events: Sequence[UserRegistered], contexts: Sequence[Context]
    ) -> None:
        """Count registrations per user, each event once: all of them, or none.

        Raises what :meth:`add` raises.
        """
        changes = {
            identity_of(context): Change(
                storable(event.user_id, "$.userId", context), Total(registrations=1)
            )
            for event, context in zip(events, contexts, strict=True)
        }
        if changes:
            await self._add_all(changes)

    async def total(self, user_id: str) -> Total:
        """Return a user's sums; zeros for a user that nothing is known of."""
        found = await self._database.read(_TOTALS.where(user_totals.c.user_id == user_id))
        return Total(*found[0][1:]) if found else Total()

    async def totals(self) -> dict[str, Total]:
        """Return the sums of every user, by user id; for tests and small systems."""
        return {row[0]: Total(*row[1:]) for row in await self._database.read(_TOTALS)}

    async def prune(self, older_than_s: float) -> int:
        """Forget the identities of events applied longer ago than this; return how many.

        A forgotten event that is delivered again is counted again. So nothing calls this by
        itself: run it with more than the topics' retention plus the time in which failures and
        dead letters may still be redriven (7 + 30 days as declared in ``trunkline/topology.py``).
        Until then an event takes about 150 bytes on PostgreSQL, its indexes included.
        """
        limit_ms = _now_ms() - int(older_than_s * 1000)
        identity = tuple_(*applied_events.primary_key.columns)
        oldest = (
            select(*applied_events.primary_key.columns)
            .where(applied_events.c.applied_at_ms < limit_ms)
            .limit(_PRUNE_ROWS)
        )
        pruning = delete(applied_events).where(identity.in_(oldest))

        async def prune_some(connection: AsyncConnection) -> int:
            return (await connection.execute(pruning)).rowcount

        pruned = 0
        while (some := await self._database.write(prune_some)) > 0:
            pruned += some
        return pruned

    async def _add_one(self, identity: Identity, change: Change) -> None:
        if self._apply_and_sum is None:
            await self._add_all({identity: change})
            return
        values = _applied(identity) | _row(change.user_id, change.adds)
        given = {f"given_{name}": value for name, value in values.items()}
        await self._database.execute(self._apply_and_sum, given)

    async def _add_all(self, changes: Mapping[Identity, Change]) -> None:
        """Apply the changes whose identities are new, in one transaction.

        Everyone locks identities first and users second, each in sorted order: no deadlock.
        """
        applied = [_applied(identity) for identity in sorted(changes)]
        identities = self._apply.returning(*applied_events.primary_key.columns)

        async def apply(connection: AsyncConnection) -> None:
            new = (await connection.execute(identities, applied)).all()
            sums = _sums(changes[row[0], row[1], row[2], row[3]] for row in new)
            if sums:
                rows = [_row(user_id, sums[user_id]) for user_id in sorted(sums)]
                await connection.execute(self._sum, rows)

        await self._database.write(apply)


_TOTALS = select(
    user_totals.c.user_id,
    user_totals.c.registrations,
    user_totals.c.orders,
    user_totals.c.total_cents,
)


def _adding(insert: Insert) -> Insert:
    """Return an upsert of one user's row that adds to what is there."""
    columns = ("registrations", "orders", "total_cents")
    sums = {name: user_totals.c[name] + insert.excluded[name] for name in columns}
    return insert.on_conflict_do_update(index_elements=["user_id"], set_=sums)


def _in_one_statement(database: Database) -> Executable:
    """Return ``WITH fresh AS (INSERT identity … RETURNING) INSERT total … FROM fresh``.

    PostgreSQL only: the transaction of :meth:`Orders._add_all` for one event, in one round trip.
    """
    fresh = (
        database.insert(applied_events)
        .values({column.name: _given(column) for column in applied_events.columns})
        .on_conflict_do_nothing()
        .returning(literal_column("1"))
        .cte("fresh")
    )
    total = select(*(_given(column) for column in user_totals.columns)).select_from(fresh)
    names = [column.name for column in user_totals.columns]
    return _adding(database.insert(user_totals).from_select(names, total))


def _given(column: Column[Any]) -> BindParameter[Any]:
    # Named apart from the column: SQLAlchemy keeps the columns' own names for itself.
    return bindparam(f"given_{column.name}", type_=column.type)


def _applied(identity: Identity) -> dict[str, str | int]:
    return identity_values(identity) | {"applied_at_ms": _now_ms()}


def _row(user_id: str, sums: Total) -> dict[str, str | int]:
    return {"user_id": user_id, **sums._asdict()}


def _sums(changes: Iterable[Change]) -> dict[str, Total]:
    sums: dict[str, Total] = {}
    for change in changes:
        sums[change.user_id] = sums.get(change.user_id, Total()).plus(change.adds)
    return sums


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
