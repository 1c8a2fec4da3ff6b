"""Which SQL databases are supported, and how to connect to each so that no event is lost.

SQLite is one file that any number of processes on one host write to; PostgreSQL is for everything
larger. What a URL says is checked here; nothing is connected yet.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from sqlalchemy import Connection, event, make_url
from sqlalchemy.exc import ArgumentError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from trunkline.errors import ConfigurationError

Dialect = Literal["sqlite", "postgresql"]

SUPPORTED = (
    "Supported are sqlite:///path/to/file.sqlite and postgresql://user:password@host:5432/name "
    "(postgres:// and postgresql+asyncpg:// mean the same)."
)

#: Longest time that one statement, and one attempt to connect, may take.
STATEMENT_TIMEOUT_S = 10.0
CONNECT_TIMEOUT_S = 5.0
#: How long an SQLite writer waits for another process's transaction before it is a conflict.
SQLITE_BUSY_TIMEOUT_S = 5.0
#: Connections of one pod; PostgreSQL allows 100 in all unless told otherwise.
POOL_SIZE = 8
#: How long a handler waits for a connection of the pool.
POOL_TIMEOUT_S = 30.0

#: Execution option that asks for SQLite's write lock at the beginning of a transaction.
WRITES = "trunkline_writes"

_POSTGRESQL = re.compile(r"^(?:postgres|postgresql|postgresql\+asyncpg)://(?P<rest>.+)$", re.DOTALL)


@dataclass(frozen=True)
class Address:
    """A checked database URL.

    Attributes:
        dialect: SQLAlchemy's name of the kind of database.
        shown: For people: the URL without user, password and options.
        path: The file, for SQLite.
        dsn: What the driver connects to, for PostgreSQL. It holds the password: never show it.

    """

    dialect: Dialect
    shown: str
    path: Path = Path()
    dsn: str = ""

    def __repr__(self) -> str:
        return f"Address({self.shown})"


def read_url(url: str) -> Address:
    """Check a database URL.

    Raises:
        ConfigurationError: The URL cannot be read, or names what is not supported. The message
            never has the password.

    """
    match = _POSTGRESQL.match(url)
    if match:
        return _postgresql(match["rest"])
    if url.startswith(("sqlite://", "sqlite+aiosqlite://")):
        return _sqlite(url)
    scheme = url.partition("://")[0] if "://" in url else ""
    problem = f"names {scheme!r}, which is not supported" if scheme else "is not a database URL"
    raise ConfigurationError(f"DATABASE_URL {problem}. {SUPPORTED}")


def make_engine(address: Address) -> AsyncEngine:
    """Return an engine for the address, its pool bounded; nothing is connected yet."""
    return _ENGINES[address.dialect](address)


def _postgresql(rest: str) -> Address:
    authority = re.split(r"[/?#]", rest, maxsplit=1)[0]
    if "@" in rest.partition("?")[0] and "@" not in authority:
        raise ConfigurationError(
            "DATABASE_URL cannot be read: user and password must be percent-encoded where they "
            "have characters such as '/', '?', '#' or '@' (%2F, %3F, %23, %40)."
        )
    # After the last '@', so that a password with an '@' of its own is not shown either.
    place = re.split(r"[?&#]", rest.rpartition("@")[2], maxsplit=1)[0]
    return Address("postgresql", f"postgresql://{place}", dsn=f"postgresql://{rest}")


def _sqlite(url: str) -> Address:
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):
        raise ConfigurationError(f"DATABASE_URL cannot be read. {SUPPORTED}") from None
    name = parsed.database or ":memory:"
    if name == ":memory:" or name.startswith("file:") or parsed.query or parsed.host:
        raise ConfigurationError(
            f"DATABASE_URL={url!r} is not the path of a file. Events whose offsets are committed "
            "must still be there after a restart, so SQLite needs a plain file. " + SUPPORTED
        )
    path = Path(name).absolute()
    return Address("sqlite", f"sqlite:///{path}", path=path)


def _postgresql_engine(address: Address) -> AsyncEngine:
    connect: dict[str, Any] = {
        "dsn": address.dsn,
        "timeout": CONNECT_TIMEOUT_S,
        # Cancelled from here; the server's own limit is for a client that has vanished, whose
        # locks would hold up the pod that took over its partitions.
        "command_timeout": STATEMENT_TIMEOUT_S,
        "server_settings": {
            "application_name": "trunkline",
            "statement_timeout": str(int(STATEMENT_TIMEOUT_S * 2_000)),
            "idle_in_transaction_session_timeout": str(int(STATEMENT_TIMEOUT_S * 2_000)),
        },
    }
    return create_async_engine(
        "postgresql+asyncpg://",
        connect_args=connect,
        hide_parameters=True,  # user data has no place in logs and error headers
        # Single statements are atomic by themselves: no BEGIN and COMMIT, and a ping in one round
        # trip instead of three. Transactions ask for their level (see Database.write).
        isolation_level="AUTOCOMMIT",
        pool_pre_ping=True,
        pool_size=POOL_SIZE,
        max_overflow=0,
        pool_timeout=POOL_TIMEOUT_S,
        pool_use_lifo=True,
    )


def _sqlite_engine(address: Address) -> AsyncEngine:
    engine = create_async_engine(
        f"sqlite+aiosqlite:///{address.path}",
        connect_args={"timeout": SQLITE_BUSY_TIMEOUT_S},
        hide_parameters=True,
        pool_size=POOL_SIZE,
        max_overflow=0,
        pool_timeout=POOL_TIMEOUT_S,
        # A connection holds 6 MB of pages and statements before long: all do that are in turn.
        pool_use_lifo=True,
    )
    event.listen(engine.sync_engine, "connect", _prepare_sqlite)
    event.listen(engine.sync_engine, "begin", _begin_sqlite)
    return engine


def _prepare_sqlite(connection: Any, _record: object) -> None:
    """Take transactions into our own hands, and sync each commit to the disk.

    ``synchronous=NORMAL`` would be faster, but a power cut could take back a commit whose offset
    Kafka already has: an event would be lost.
    """
    connection.isolation_level = None
    cursor = connection.cursor()
    cursor.execute("PRAGMA synchronous=FULL")
    cursor.close()


def _begin_sqlite(connection: Connection) -> None:
    """Begin a transaction: a writer takes the lock at once.

    A transaction that reads first and asks for the lock later fails with "database is locked"
    without waiting when another process wrote in between (sqlite.org/lang_transaction.html).
    """
    writes = connection.get_execution_options().get(WRITES, False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


_ENGINES = {"sqlite": _sqlite_engine, "postgresql": _postgresql_engine}
