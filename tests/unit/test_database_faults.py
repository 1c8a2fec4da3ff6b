"""Which errors of a database are an outage, for which no event is to blame, and what is said."""

from __future__ import annotations

import errno
import socket
import sqlite3

import pytest
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from tables.faults import as_down, is_away, is_conflict, is_outage

PLACE = "postgresql://db:5432/users"


class DriverError(Exception):
    """An error with an SQLSTATE, as asyncpg raises them."""

    def __init__(self, sqlstate, text="what the driver says"):
        super().__init__(text)
        self.sqlstate = sqlstate


def wrapped(error, *, invalidated=False):
    """Return an error as SQLAlchemy raises it."""
    return DBAPIError("SELECT 1", None, error, connection_invalidated=invalidated)


def sqlite_error(code, kind=sqlite3.OperationalError):
    error = kind("what SQLite says")
    error.sqlite_errorcode = code
    return error


@pytest.mark.parametrize(
    "error",
    [
        *(wrapped(DriverError(state)) for state in ["08006", "08003", "57P01", "57P02", "57P03"]),
        *(wrapped(DriverError(state)) for state in ["53300", "53100", "58030", "25006", "28P01"]),
        DriverError("57P03"),
        wrapped(Exception("gone"), invalidated=True),
        wrapped(sqlite_error(sqlite3.SQLITE_BUSY)),
        wrapped(sqlite_error(sqlite3.SQLITE_BUSY | 2 << 8)),
        wrapped(sqlite_error(sqlite3.SQLITE_IOERR | 4 << 8)),
        wrapped(sqlite_error(sqlite3.SQLITE_CORRUPT, sqlite3.DatabaseError)),
        ConnectionResetError(),
        BrokenPipeError(),
        socket.gaierror("no such host"),
        TimeoutError(errno.ETIMEDOUT, "the network says nothing"),
        PoolTimeoutError(),
    ],
    ids=repr,
)
def test_is_an_outage(error):
    """Connections, logins, resources, disks and locks: the events wait."""
    assert is_outage(error)


@pytest.mark.parametrize(
    "error",
    [
        *(wrapped(DriverError(state)) for state in ["22003", "23505", "40P01", "40001", "42P01"]),
        wrapped(DriverError("57014")),
        wrapped(sqlite_error(sqlite3.SQLITE_CONSTRAINT, sqlite3.IntegrityError)),
        wrapped(sqlite_error(sqlite3.SQLITE_ERROR)),
        wrapped(sqlite3.ProgrammingError("raised by Python's module, without a code")),
        TimeoutError(),
        ValueError("bug"),
    ],
    ids=repr,
)
def test_is_none(error):
    """Data, conflicts, mistakes in a statement, one that takes too long."""
    assert not is_outage(error)


def test_a_busy_file_is_tried_again_before_it_is_an_outage():
    """Both hold: Database.write asks for the conflict first."""
    busy = wrapped(sqlite_error(sqlite3.SQLITE_BUSY))
    assert is_conflict(busy)
    assert is_outage(busy)


def test_no_free_connection_in_the_pool_is_away():
    """All of them wait for a database that is too slow."""
    assert is_away(PoolTimeoutError())


def test_says_what_the_driver_said_once():
    """Not the statement, nor the wrapping of SQLAlchemy."""
    cause = DriverError("57P01", "terminating connection due to administrator command")
    message = str(as_down(wrapped(cause), PLACE))
    assert message.startswith(
        f"The database {PLACE} cannot be used: terminating connection due to administrator "
        "command. Events wait"
    )
    assert "SELECT" not in message


def test_a_timeout_has_words():
    """An error without a text of its own is explained."""
    assert "cannot be used: it does not answer in time. " in str(as_down(TimeoutError(), PLACE))
