"""What an error of a database means: a conflict to try again, a bad event, or a wrong setting.

Everything else (a connection that broke, a server that restarts, a full disk) is raised as it is:
it passes, and the delivery chain retries the event.
"""

from __future__ import annotations

import sqlite3
import ssl
from collections.abc import Iterator

from sqlalchemy.exc import DBAPIError

from trunkline.errors import ConfigurationError, Permanent

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
    """Whether a database cannot be reached now, so that waiting may help."""
    # asyncpg's own errors come unwrapped from connecting; each has an SQLSTATE.
    return isinstance(error, OSError | DBAPIError) or bool(_sqlstate(error))


def _with_causes(error: BaseException | None) -> Iterator[BaseException]:
    """Yield an error and what lies behind it: SQLAlchemy wraps its adapter, which wraps asyncpg."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = getattr(error, "orig", None) or error.__cause__


def _sqlstate(error: BaseException) -> str:
    return getattr(error, "sqlstate", None) or ""


def _is_busy(error: BaseException) -> bool:
    return isinstance(error, sqlite3.OperationalError) and error.sqlite_errorcode & 0xFF in {
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_LOCKED,
    }
