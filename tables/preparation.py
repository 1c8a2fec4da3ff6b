"""What a database must be like before the first event is written to it."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from tables.engines import SQLITE_BUSY_TIMEOUT_S
from tables.faults import is_conflict
from trunkline.errors import ConfigurationError


def prepare_file(path: Path) -> None:
    """Make the file and its folder, with a write-ahead log: readers and a writer side by side.

    The journal mode stays in the file, so it is set here once and not per connection.

    Raises:
        ConfigurationError: The file cannot be written.
        sqlite3.OperationalError: Another process holds its lock.

    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = sqlite3.connect(path, timeout=SQLITE_BUSY_TIMEOUT_S, isolation_level=None)
        with closing(file):
            file.execute("PRAGMA journal_mode=WAL")
            file.execute("BEGIN IMMEDIATE")
            file.execute("ROLLBACK")
    except (OSError, sqlite3.DatabaseError) as error:
        if is_conflict(error):
            raise
        raise ConfigurationError(
            f"The SQLite file {path} cannot be written: {error}. Give this process the right to "
            "write the file and its folder, or set TRUNKLINE_DATA_DIR or DATABASE_URL."
        ) from None


async def require_utf8(connection: AsyncConnection) -> None:
    """Refuse a PostgreSQL database that cannot store every event.

    Raises:
        ConfigurationError: Its encoding is another one.

    """
    encoding = (await connection.execute(text("SHOW server_encoding"))).scalar_one()
    if encoding != "UTF8":
        raise ConfigurationError(
            f"The PostgreSQL database has the encoding {encoding}, which cannot store every event. "
            "Create it with ENCODING 'UTF8'."
        )
