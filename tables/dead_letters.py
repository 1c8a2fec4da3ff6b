"""The dlq service's index: a row per dead letter, and a counted row per fingerprint.

However often and in whatever order letters and actions come, and in whichever pods, the counts are
exact: a letter's row, what is known to have been done with it, and the counts of its fingerprint
change in one transaction, and one writer is at work at a time. Payloads stay in Kafka.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from operator import itemgetter
from typing import Any, TypeVar

from sqlalchemy import bindparam, select, text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection

from tables.database import Database, Insert, Work
from tables.dead_letter_rows import Row, letter_values, merged
from tables.dead_letter_schema import (
    dead_letter_actions,
    dead_letter_fingerprints,
    dead_letters,
)
from tables.faults import is_away
from tables.identities import Identity
from trunkline.dead_letters.index import STATUSES, Letter, Outcome, Status
from trunkline.errors import DependencyDown, Permanent

T = TypeVar("T")

#: A dead letter's place: topic, partition, offset.
Place = tuple[str, int, int]

#: Held on PostgreSQL by the one who writes; any number that no one else uses.
_WRITER_LOCK = 7_241_905_119
#: Values in one statement; each takes up to three bind variables.
_CHUNK = 500


class DeadLetters:
    """Writes the index; ``tables/dead_letter_queries.py`` reads it."""

    def __init__(self, database: Database) -> None:
        self._database = database
        letters = database.insert(dead_letters)
        identity = dead_letters.primary_key.columns
        self._add_letter = letters.on_conflict_do_nothing().returning(*identity)
        self._put_fingerprint = _replacing(database.insert(dead_letter_fingerprints))
        self._put_action = _newer(database.insert(dead_letter_actions))

    async def add(self, letters: Sequence[Letter]) -> None:
        """Index letters, each once, however often it comes: all of them, or none.

        Raises:
            DependencyDown: The database is away, or does not do its work: nothing was written.

        """
        rows = {_identity(row): row for row in map(letter_values, letters)}
        fingerprints = {found.fingerprint.digest: found.fingerprint for found in letters}

        async def add(connection: AsyncConnection) -> None:
            outcomes = await _outcomes(connection, rows)
            values = [
                rows[identity] | {"status": _status(identity, outcomes)}
                for identity in sorted(rows)
            ]
            inserted = (await connection.execute(self._add_letter, values)).all()
            fresh = {tuple(row) for row in inserted}
            new = [row for row in values if _identity(row) in fresh]
            known = await _fingerprints(connection, {row["fingerprint"] for row in new})
            changed = merged(known, new, fingerprints)
            if changed:
                await connection.execute(self._put_fingerprint, changed)

        if rows:
            await self._write(add)

    async def note(self, outcomes: Sequence[Outcome]) -> None:
        """Note what became of letters; what is older than what is known changes nothing.

        Raises what :meth:`add` raises.
        """
        newest = {
            outcome[:3]: outcome for outcome in sorted(outcomes, key=lambda each: each.number)
        }

        async def note(connection: AsyncConnection) -> None:
            values = [newest[place]._asdict() for place in sorted(newest)]
            news = (await connection.execute(self._put_action, values)).all()
            await _apply(connection, [newest[row[0], row[1], row[2]] for row in news])

        if newest:
            await self._write(note)

    async def _write(self, work: Work[None]) -> None:
        async def alone(connection: AsyncConnection) -> None:
            # SQLite has one writer anyway. Two at once on PostgreSQL would miss each other's rows:
            # the one a new letter's action, the other that action's letter.
            if self._database.is_postgresql:
                lock = text("SELECT pg_advisory_xact_lock(:key)")
                await connection.execute(lock, {"key": _WRITER_LOCK})
            await work(connection)

        try:
            await self._database.write(alone)
        except Exception as error:
            # Whatever the database says, it is never the letter's fault: every text and number was
            # made to fit. To hand a dead letter over as failed would take its headers off it.
            if isinstance(error, SQLAlchemyError | Permanent) or is_away(error):
                raise DependencyDown(
                    f"Dead letters cannot be indexed: database {self._database} fails ({error}). "
                    "They are read again when it is back."
                ) from error
            raise


async def _outcomes(
    connection: AsyncConnection, identities: Iterable[Identity]
) -> dict[Place, Outcome]:
    """Return what is known to have become of letters; a batch is a stretch of few partitions."""
    c = dead_letter_actions.c
    found: dict[Place, Outcome] = {}
    for (topic, partition), stretch in groupby(sorted(identities), key=itemgetter(0, 1)):
        offsets = [identity[2] for identity in stretch]
        rows = await connection.execute(
            select(*(c[name] for name in Outcome._fields)).where(
                c.topic == topic,
                c.partition == partition,
                c.offset.between(offsets[0], offsets[-1]),
            )
        )
        found |= {(row[0], row[1], row[2]): Outcome(*row) for row in rows}
    return found


def _status(identity: Identity, outcomes: Mapping[Place, Outcome]) -> Status:
    outcome = outcomes.get(identity[:3])
    return "open" if outcome is None else outcome.for_letter(identity[3])


async def _fingerprints(connection: AsyncConnection, digests: set[str]) -> dict[str, Row]:
    table = dead_letter_fingerprints
    found: dict[str, Row] = {}
    for chunk in _chunks(sorted(digests)):
        rows = await connection.execute(select(table).where(table.c.fingerprint.in_(chunk)))
        found |= {row["fingerprint"]: dict(row) for row in rows.mappings()}
    return found


async def _apply(connection: AsyncConnection, outcomes: Iterable[Outcome]) -> None:
    """Give letters their new status, and move them from count to count."""
    moved: Counter[tuple[str, str]] = Counter()
    updates: list[Row] = []
    for row, outcome in await _letters_of(connection, outcomes):
        status = outcome.for_letter(row.timestamp_ms)
        if row.status != status:
            moved[row.fingerprint, row.status] -= 1
            moved[row.fingerprint, status] += 1
            updates.append(_given({**row._asdict(), "status": status}))
    if updates:
        await connection.execute(_SET_STATUS, updates)
        await connection.execute(_MOVE, _moves(moved))


async def _letters_of(
    connection: AsyncConnection, outcomes: Iterable[Outcome]
) -> list[tuple[Any, Outcome]]:
    """Return the letters that stand in the outcomes' places."""
    c = dead_letters.c
    query = select(*dead_letters.primary_key.columns, c.fingerprint, c.status)
    found = []
    for (topic, partition), stretch in groupby(sorted(outcomes), key=itemgetter(0, 1)):
        by_offset = {outcome.offset: outcome for outcome in stretch}
        for offsets in _chunks(sorted(by_offset)):
            rows = await connection.execute(
                query.where(c.topic == topic, c.partition == partition, c.offset.in_(offsets))
            )
            found += [(row, by_offset[row.offset]) for row in rows]
    return found


def _moves(moved: Counter[tuple[str, str]]) -> list[Row]:
    return [
        _given({"fingerprint": digest, **{status: moved[digest, status] for status in STATUSES}})
        for digest in sorted({digest for digest, _ in moved})
    ]


def _given(values: Mapping[str, Any]) -> Row:
    """Return bind variables; named apart from the columns, for SQLAlchemy keeps their own names."""
    return {f"given_{name}": value for name, value in values.items()}


_SET_STATUS = (
    dead_letters.update()
    .where(*(column == bindparam(f"given_{column.name}") for column in dead_letters.primary_key))
    .values(status=bindparam("given_status"))
)

_MOVE = (
    dead_letter_fingerprints.update()
    .where(dead_letter_fingerprints.c.fingerprint == bindparam("given_fingerprint"))
    .values(
        {
            status: dead_letter_fingerprints.c[status] + bindparam(f"given_{status}")
            for status in STATUSES
        }
    )
)


def _replacing(insert: Insert) -> Insert:
    columns = [c.name for c in dead_letter_fingerprints.columns if not c.primary_key]
    return insert.on_conflict_do_update(
        index_elements=["fingerprint"], set_={name: insert.excluded[name] for name in columns}
    )


def _newer(insert: Insert) -> Any:
    """Return an upsert of a place's action, which returns its place when it was news."""
    return insert.on_conflict_do_update(
        index_elements=["topic", "partition", "offset"],
        set_={name: insert.excluded[name] for name in ("number", "status", "timestamp_ms")},
        where=insert.excluded["number"] > dead_letter_actions.c.number,
    ).returning(*dead_letter_actions.primary_key.columns)


def _identity(row: Row) -> Identity:
    return (row["topic"], row["partition"], row["offset"], row["timestamp_ms"])


def _chunks(values: Sequence[T]) -> Iterator[Sequence[T]]:
    for first in range(0, len(values), _CHUNK):
        yield values[first : first + _CHUNK]
