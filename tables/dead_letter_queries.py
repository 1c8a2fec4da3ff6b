"""Questions to the index of dead letters; ``tables/dead_letters.py`` writes it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Row, Select, func, select, tuple_
from sqlalchemy.exc import SQLAlchemyError

from tables.database import Database
from tables.dead_letter_schema import dead_letter_fingerprints, dead_letters
from tables.faults import is_away
from trunkline.dead_letters.index import (
    STATUSES,
    FingerprintRow,
    LetterRow,
    Overview,
    Place,
    Status,
)
from trunkline.errors import DependencyDown

_FINGERPRINT = dead_letter_fingerprints.c
_LETTER = dead_letters.c
_SUMS = select(
    *(func.coalesce(func.sum(_FINGERPRINT[status]), 0).label(status) for status in STATUSES),
    func.count(_FINGERPRINT.fingerprint).label("fingerprints"),
)
_FINGERPRINTS = select(*(_FINGERPRINT[name] for name in FingerprintRow.__struct_fields__))
#: The order of the pages; the index over these columns gives it without sorting.
_NEWEST = [_LETTER[name] for name in Place._fields]


class DeadLetterQueries:
    """A :class:`trunkline.dead_letters.index.DeadLetterIndex` on the SQL database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def fingerprints(
        self,
        *,
        topic: str | None = None,
        group: str | None = None,
        status: Status | None = None,
        limit: int = 100,
    ) -> list[FingerprintRow]:
        """Return fingerprints, last seen first; see the protocol."""
        query = _FINGERPRINTS
        if topic is not None:
            query = query.where(_FINGERPRINT.topic == topic)
        if group is not None:
            query = query.where(_FINGERPRINT.group == group)
        if status is not None:
            query = query.where(_FINGERPRINT[status] > 0)
        newest = (_FINGERPRINT.last_seen_ms.desc(), _FINGERPRINT.fingerprint)
        rows = await self._read(query.order_by(*newest).limit(limit))
        return [FingerprintRow(**row._asdict()) for row in rows]

    async def fingerprint(self, fingerprint: str) -> FingerprintRow | None:
        """Return one fingerprint by its digits."""
        rows = await self._read(_FINGERPRINTS.where(_FINGERPRINT.fingerprint == fingerprint))
        return FingerprintRow(**rows[0]._asdict()) if rows else None

    async def letters(
        self,
        fingerprint: str,
        *,
        status: Status | None = None,
        after: Place | None = None,
        limit: int = 100,
    ) -> list[LetterRow]:
        """Return a fingerprint's letters, newest first; see the protocol."""
        query = select(dead_letters).where(_LETTER.fingerprint == fingerprint)
        if status is not None:
            query = query.where(_LETTER.status == status)
        if after is not None:
            query = query.where(tuple_(*_NEWEST) < tuple_(*after))
        newest = [column.desc() for column in _NEWEST]
        return [_letter(row) for row in await self._read(query.order_by(*newest).limit(limit))]

    async def overview(self, top: int = 10) -> Overview:
        """Return the counts, and so many of the fingerprints with the most open letters."""
        [sums] = await self._read(_SUMS)
        most = (_FINGERPRINT.open.desc(), _FINGERPRINT.last_seen_ms.desc())
        rows = await self._read(
            _FINGERPRINTS.where(_FINGERPRINT.open > 0).order_by(*most).limit(top)
        )
        # PostgreSQL adds up 64-bit numbers to a NUMERIC.
        counts = {name: int(value) for name, value in sums._asdict().items()}
        return Overview(**counts, top=tuple(FingerprintRow(**row._asdict()) for row in rows))

    async def _read(self, query: Select[Any]) -> Sequence[Row[Any]]:
        try:
            return await self._database.read(query)
        except Exception as error:
            if isinstance(error, SQLAlchemyError) or is_away(error):
                raise DependencyDown(
                    f"The index of dead letters cannot be read: database {self._database} fails "
                    f"({error}). Ask again when it is back."
                ) from error
            raise


class ReadOnlyDeadLetters(DeadLetterQueries):
    """The same in a process that does not fill the index, and may be there before it.

    It makes neither the file nor the tables: the dlq service does. It connects when it is asked.
    """

    def __init__(self, database: Database) -> None:
        super().__init__(database)
        self._there = database

    async def stop(self) -> None:
        """Close its connections."""
        await self._there.stop()

    async def start(self) -> None:
        """Wait for nothing: a database that is away is told to who asks."""

    async def _read(self, query: Select[Any]) -> Sequence[Row[Any]]:
        if self._there.lacks_file:
            raise DependencyDown(
                f"There is no index of dead letters at {self._there} yet: the dlq service makes "
                "it. Start it on this machine, or set DATABASE_URL for both to one PostgreSQL; "
                "'trunkline dlq ls' reads Kafka itself."
            )
        try:
            return await super()._read(query)
        except DependencyDown as error:
            if "no such table" in str(error) or "does not exist" in str(error):
                raise DependencyDown(
                    f"The index of dead letters at {self._there} is empty: the dlq service makes "
                    "its tables when it starts. 'trunkline dlq ls' reads Kafka itself."
                ) from error
            raise


def _letter(row: Row[Any]) -> LetterRow:
    found = row._asdict()
    found.pop("fingerprint")
    return LetterRow(id=f"{row.topic}[{row.partition}]@{row.offset}", **found)
