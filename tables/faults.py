"""What an error of a database means: a conflict, a bad event, a wrong setting, or an outage.

What is none of these (a row that stays locked, a mistake in a statement) is raised as it is, and
the delivery chain retries the event.
"""

from __future__ import annotations

import sqlite3
import ssl
from collections.abc import Iterator

from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from trunkline.errors import ConfigurationError, DependencyDown, Permanent

#: PostgreSQL: serialization failure, deadlock detected (the loser was rolled back).
_CONFLICTS = {"40001", "40P01"}
#: PostgreSQL: what an operator must mend, and no waiting will.
_MISTAKES = {
    "28P01": "the password is wrong",
    "28000": "the user may not log in",
    "3D000": "there is no such database",
    "42501": "the user may not create tables; GRANT CREATE ON SCHEMA public to it",
    "42704": "the URL has an option that the server does not know",
    "3F000": "there is no schema to create tables in; see the user's search_path",
}

#: PostgreSQL's SQLSTATEs, by their beginning, for which no event is to blame: connection lost,
#: login refused, out of disk, memory or connections, an I/O error.
_OUTAGES = ("08", "28", "53", "58")
#: Read-only after a failover; shutdown, crash, starting up, dropped, idle for too long; no such
#: database.
_OUTAGE_STATES = {"25006", "57P01", "57P02", "57P03", "57P04", "57P05", "25P03", "3D000"}
#: SQLite's for the same, by primary result code (sqlite.org/rescode.html).
_SQLITE_OUTAGES = {
    sqlite3.SQLITE_BUSY,
    sqlite3.SQLITE_LOCKED,
    sqlite3.SQLITE_NOMEM,
    sqlite3.SQLITE_READONLY,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_CORRUPT,
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_PROTOCOL,
    sqlite3.SQLITE_NOTADB,
}


def is_conflict(error: BaseException) -> bool:
    """Whether a transaction lost against another one, was rolled back, and may be tried again."""
    return any(_sqlstate(cause) in _CONFLICTS or _is_busy(cause) for cause in _with_causes(error))


def as_permanent(error: DBAPIError) -> Permanent | None:
    """Return what to raise when the database refuses the values themselves, else None.

    These are PostgreSQL's class 22 (data exceptions) and SQLite's failed CHECK constraints, which
    stand for the same.
    """
    for cause in _with_causes(error):
        failed_check = getattr(cause, "sqlite_errorname", "") == "SQLITE_CONSTRAINT_CHECK"
        if failed_check or _sqlstate(cause).startswith("22"):
            return Permanent(f"The database can never store this event: {cause}")
    return None


def as_mistake(error: BaseException, shown: str) -> ConfigurationError | None:
    """Return what to raise when a connection can never succeed as it is set, else None.

    Args:
        error: What connecting raised.
        shown: The database's URL without its password.

    """
    for cause in _with_causes(error):
        if isinstance(cause, ssl.SSLCertVerificationError):
            return ConfigurationError(
                f"PostgreSQL at {shown} has a certificate that is not trusted: {cause}. Correct "
                "sslmode and sslrootcert in DATABASE_URL."
            )
        if isinstance(cause, ValueError):
            # The driver's text may have a part of the password, so it is not repeated.
            return ConfigurationError(
                f"DATABASE_URL ({shown}) cannot be read: check host, port and options, and that "
                "user and password are percent-encoded."
            )
        reason = _MISTAKES.get(_sqlstate(cause))
        if reason:
            return ConfigurationError(
                f"PostgreSQL at {shown} refuses: {reason} ({cause}). Correct DATABASE_URL or the "
                "server's settings."
            )
    return None


def is_away(error: BaseException) -> bool:
    """Whether connecting failed because the database cannot be reached now: waiting may help."""
    # asyncpg's own errors come unwrapped from connecting; each has an SQLSTATE.
    away = isinstance(error, OSError | DBAPIError | PoolTimeoutError)
    return away or bool(_sqlstate(error))


def is_outage(error: BaseException) -> bool:
    """Whether a statement failed for a reason that no event is to blame for."""
    return any(_is_outage(cause) for cause in _with_causes(error))


def as_down(error: BaseException, shown: str) -> DependencyDown:
    """Return what a handler raises, from the error, when its database is away.

    Args:
        error: What connecting or a statement raised.
        shown: The database's URL without its password.

    """
    # The last one is the driver's own; the ones before it wrap its text. A timeout has no text.
    texts = [str(cause) for cause in _with_causes(error)]
    told = next(filter(None, reversed(texts)), "it does not answer in time")
    return DependencyDown(
        f"The database {shown} cannot be used: {told}. Events wait until it can be; see that it "
        "runs, and that this pod may log in and has a connection left."
    )


def _with_causes(error: BaseException | None) -> Iterator[BaseException]:
    """Yield an error and what lies behind it: SQLAlchemy wraps its adapter, which wraps asyncpg."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = getattr(error, "orig", None) or error.__cause__


def _sqlstate(error: BaseException) -> str:
    return getattr(error, "sqlstate", None) or ""


def _is_outage(error: BaseException) -> bool:
    if isinstance(error, DBAPIError) and error.connection_invalidated:
        return True
    if isinstance(error, sqlite3.DatabaseError):
        return _sqlite_code(error) in _SQLITE_OUTAGES
    if isinstance(error, TimeoutError):
        return error.errno is not None  # ours have none: a statement that takes too long
    state = _sqlstate(error)
    is_lost = isinstance(error, OSError | PoolTimeoutError)
    return is_lost or state in _OUTAGE_STATES or state.startswith(_OUTAGES)


def _is_busy(error: BaseException) -> bool:
    return isinstance(error, sqlite3.OperationalError) and _sqlite_code(error) in {
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_LOCKED,
    }


def _sqlite_code(error: sqlite3.Error) -> int:
    """Return the primary result code; errors of Python's module itself have none: 0."""
    return int(getattr(error, "sqlite_errorcode", 0)) & 0xFF
