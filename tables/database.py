"""The SQL database behind the consumers: SQLite in a file, or PostgreSQL by ``DATABASE_URL``."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import (
    AbstractAsyncContextManager,
    AsyncExitStack,
    asynccontextmanager,
    nullcontext,
)
from typing import Any, TypeVar

from sqlalchemy import MetaData, Row, Table, text
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine
from sqlalchemy.sql.base import Executable

from tables.engines import CONNECT_TIMEOUT_S, WRITES, make_engine, read_url
from tables.faults import as_down, as_mistake, as_permanent, is_away, is_conflict, is_outage
from tables.preparation import prepare_file, require_utf8
from tables.uncancelled import to_its_end
from trunkline.errors import DependencyDown, TrunklineError

T = TypeVar("T")
Work = Callable[[AsyncConnection], Awaitable[T]]
Insert = postgresql.Insert | sqlite.Insert

#: Every table of the application; each module of ``tables`` puts its own here when imported.
metadata = MetaData()

_log = logging.getLogger(__name__)

#: Times that a transaction which lost against another one is tried in all.
_ATTEMPTS = 5
_BACKOFF_S = 0.02
#: Held on PostgreSQL while tables are made; any number that no one else uses.
_SCHEMA_LOCK = 7_241_905_118
_STOP_TIMEOUT_S = 3.0
_START_INTERVAL_S = 0.25


class Database:
    """A pool of connections to one database, and the rules for writing to it.

    All of ``tables`` write through :meth:`write` or :meth:`execute`. A pod makes one, starts it
    before its first event and stops it after its last.
    """

    def __init__(self, url: str) -> None:
        """Read the URL; nothing is connected yet.

        Raises:
            ConfigurationError: The URL cannot be read, or names an unsupported database.

        """
        self._address = read_url(url)
        self._engine = make_engine(self._address)
        self.is_postgresql = self._address.dialect == "postgresql"
        level = {"isolation_level": "READ COMMITTED"} if self.is_postgresql else {WRITES: True}
        self._writer = self._engine.execution_options(**level)
        # SQLite has one writer at a time; waiting here is fair, its own waiting is by chance.
        self._turn: AbstractAsyncContextManager[Any] = (
            nullcontext() if self.is_postgresql else asyncio.Lock()
        )

    def __str__(self) -> str:
        """Return the URL without user, password and options."""
        return self._address.shown

    @property
    def lacks_file(self) -> bool:
        """Whether it is an SQLite file that does not exist; to connect would make it."""
        return not self.is_postgresql and not self._address.path.exists()

    async def __aenter__(self) -> Database:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def start(self, patience_s: float = 30.0) -> None:
        """Connect, and create the tables that are missing; existing ones are never altered.

        Any number of pods may do this at once.

        Args:
            patience_s: How long to wait for a database that cannot be reached.

        Raises:
            ConfigurationError: Waiting cannot help: wrong password, no such database, a file that
                cannot be written.
            TrunklineError: The database could not be reached in time.

        """
        try:
            await self._start(asyncio.get_running_loop().time() + patience_s)
        except BaseException:
            await self.stop()
            raise
        _log.info("Database: %s", self)

    async def stop(self) -> None:
        """Close all connections, within 3 s also when the server does not answer."""
        try:
            async with asyncio.timeout(_STOP_TIMEOUT_S):
                await self._engine.dispose()
        except TimeoutError:
            await self._engine.dispose(close=False)

    def insert(self, table: Table) -> Insert:
        """Return an INSERT of the database's dialect, which knows ``ON CONFLICT``."""
        return postgresql.insert(table) if self.is_postgresql else sqlite.insert(table)

    async def write(self, work: Work[T]) -> T:
        """Run work in one transaction: all of it is committed, or nothing.

        A transaction that lost against another one (deadlock, serialization, SQLite's lock) is
        run again a few times, so work must do nothing but talk to its connection. A caller that is
        cancelled waits until the transaction has ended.

        Raises:
            Permanent: The database refuses the values themselves.
            DependencyDown: The database is away; nothing was written, or it was when the
                connection broke at the very end. The event is not to blame.
            sqlalchemy.exc.DBAPIError, TimeoutError: The statement failed; it may pass.

        """

        async def once() -> T:
            async with self._connected(self._writer) as connection, connection.begin():
                return await work(connection)

        async def run() -> T:
            async with self._turn:
                return await to_its_end(once())

        return await self._blaming(_trying_again(run))

    async def execute(self, statement: Executable, values: Mapping[str, Any]) -> None:
        """Run one statement that is atomic by itself: one round trip on PostgreSQL.

        Raises what :meth:`write` raises.
        """
        if not self.is_postgresql:
            await self.write(lambda connection: connection.execute(statement, values))
            return

        async def run() -> None:
            async with self._connected(self._engine) as connection:
                await connection.execute(statement, values)

        await self._blaming(_trying_again(run))

    async def read(self, statement: Executable) -> Sequence[Row[Any]]:
        """Return all rows of a query.

        Raises:
            DependencyDown: The database is away.
            sqlalchemy.exc.DBAPIError, TimeoutError: The query failed.

        """

        async def run() -> Sequence[Row[Any]]:
            async with self._connected(self._engine) as connection:
                return (await connection.execute(statement)).all()

        return await self._blaming(run())

    @asynccontextmanager
    async def _connected(self, engine: AsyncEngine) -> AsyncIterator[AsyncConnection]:
        """Lend a connection; when there is none, for whatever reason, no event is to blame."""
        async with AsyncExitStack() as stack:
            try:
                connection = await stack.enter_async_context(engine.connect())
            except Exception as error:
                if is_conflict(error) or not is_away(error):
                    raise
                raise as_down(error, str(self)) from error
            yield connection

    async def _blaming(self, result: Awaitable[T]) -> T:
        """Wait for a result; blame the database for a failure that is its own."""
        try:
            return await result
        except (DBAPIError, OSError) as error:
            is_late = isinstance(error, TimeoutError) and not await self._answers()
            if is_late or is_outage(error):
                raise as_down(error, str(self)) from error
            raise

    async def _answers(self) -> bool:
        """Tell a database that hangs from a single statement that takes too long."""
        try:
            async with (
                asyncio.timeout(CONNECT_TIMEOUT_S),
                self._connected(self._engine) as connection,
            ):
                await connection.execute(text("SELECT 1"))
        except (DependencyDown, DBAPIError, OSError):
            return False
        return True

    @asynccontextmanager
    async def _schema_lock(self) -> AsyncIterator[AsyncConnection]:
        """Let one pod at a time look which tables are missing and make them.

        CREATE TABLE IF NOT EXISTS alone is no help: two at once on PostgreSQL fail with a
        duplicate key in pg_type. SQLite's write lock is held from the beginning anyway.
        """
        async with self._turn, self._writer.begin() as connection:
            if self.is_postgresql:
                lock = text("SELECT pg_advisory_xact_lock(:key)")
                await connection.execute(lock, {"key": _SCHEMA_LOCK})
            yield connection

    async def _prepare(self) -> None:
        if not self.is_postgresql:
            await asyncio.to_thread(prepare_file, self._address.path)
        async with self._schema_lock() as connection:
            if self.is_postgresql:
                await require_utf8(connection)
            await connection.run_sync(metadata.create_all)

    async def _start(self, deadline_s: float) -> None:
        told = False
        while True:
            try:
                await self._prepare()
            except TrunklineError:
                raise
            except Exception as error:
                self._judge(error, too_late=asyncio.get_running_loop().time() >= deadline_s)
                if not told:
                    _log.warning("Database %s cannot be used yet (%s): waiting.", self, error)
                    told = True
            else:
                return
            await asyncio.sleep(_START_INTERVAL_S)

    def _judge(self, error: Exception, *, too_late: bool) -> None:
        """Raise what ends the start; return when waiting may help."""
        mistake = as_mistake(error, str(self))
        if mistake is not None:
            raise mistake from None
        if not (is_away(error) or is_conflict(error)):
            raise error
        if too_late:
            raise TrunklineError(
                f"Database {self} cannot be used: {error}. Start it (or end what locks it), or "
                "correct DATABASE_URL."
            ) from error


async def _trying_again(run: Callable[[], Awaitable[T]]) -> T:
    attempt = 1
    while True:
        try:
            return await run()
        except DBAPIError as error:
            permanent = as_permanent(error)
            if permanent is not None:
                raise permanent from error
            if attempt == _ATTEMPTS or not is_conflict(error):
                raise
        # At random, so that those who met do not meet again.
        await asyncio.sleep(random.uniform(0, _BACKOFF_S * 2**attempt))  # noqa: S311  # no secret
        attempt += 1
