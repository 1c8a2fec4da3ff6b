"""A service's SQLite file, seen from outside while its pods write to it."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

#: Pods hold the write lock for milliseconds at a time.
_TIMEOUT_S = 10.0
#: Name of the trigger by which the database refuses rows.
_REFUSAL = "trunkline_verify_refusal"


class ServiceDatabase:
    """Counts what a service has stored, and can keep it from storing more.

    The table names are those of ``tables/users.py`` and ``tables/orders.py``, which are not
    imported: what is counted must not depend on the code that is checked.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def users(self) -> dict[str, int]:
        """Return the rows that db-server stored, and of how many users."""
        rows, users = self._count("SELECT COUNT(*), COUNT(DISTINCT user_id) FROM registered_users")
        return {"rows": rows, "users": users}

    def rows_of(self, user_id: str) -> int:
        """Return the rows that db-server stored of one user."""
        return self._count("SELECT COUNT(*) FROM registered_users WHERE user_id = ?", user_id)[0]

    def events(self, topic: str) -> int:
        """Return how many events of a topic (its real name) the engine has added up."""
        return self._count("SELECT COUNT(*) FROM applied_events WHERE topic = ?", topic)[0]

    def places(self, table: str) -> Iterator[tuple[str, int, int]]:
        """Yield topic (its real name), partition and offset of each event in a table."""
        if not self._path.exists():
            return
        with closing(self._connect()) as connection:
            query = f'SELECT topic, "partition", "offset" FROM {table}'  # noqa: S608  # our own
            yield from connection.execute(query)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the write lock: handlers wait, at most about 25 s before they fail."""
        with closing(self._connect()) as connection:
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield
            finally:
                connection.execute("ROLLBACK")

    @contextmanager
    def refusing(self, table: str, user_id: str | None = None) -> Iterator[None]:
        """Refuse a user's new rows in a table, or everybody's, as a broken migration would."""
        whose = "1" if user_id is None else f"NEW.user_id = '{user_id}'"
        with closing(self._connect()) as connection:
            connection.execute(
                f"CREATE TRIGGER {_REFUSAL} BEFORE INSERT ON {table} WHEN {whose} "
                "BEGIN SELECT RAISE(ABORT, 'refused for a while'); END"
            )
            try:
                yield
            finally:
                connection.execute(f"DROP TRIGGER {_REFUSAL}")

    def _count(self, query: str, *values: str) -> tuple[int, ...]:
        if not self._path.exists():
            return (0, 0)
        with closing(self._connect()) as connection:
            found: tuple[int, ...] = connection.execute(query, values).fetchone()
            return found

    def _connect(self) -> sqlite3.Connection:
        return sqlite3.connect(self._path, timeout=_TIMEOUT_S, isolation_level=None)
