"""What a database URL may be, and that its password is never shown."""

from __future__ import annotations

from pathlib import Path

import pytest

from tables.database import Database
from tables.engines import read_url
from trunkline.errors import ConfigurationError


@pytest.mark.parametrize("scheme", ["postgres", "postgresql", "postgresql+asyncpg"])
def test_takes_each_name_of_postgresql(scheme):
    """All three mean the same driver and the same server."""
    address = read_url(f"{scheme}://me:s3cret@db:5432/app?sslmode=require")
    assert address.dialect == "postgresql"
    assert address.dsn == "postgresql://me:s3cret@db:5432/app?sslmode=require"


@pytest.mark.parametrize(
    ("rest", "shown"),
    [
        ("me:s3cret@db:5432/app", "db:5432/app"),
        ("me:s3cret@db1:1,db2:2/app?target_session_attrs=read-write", "db1:1,db2:2/app"),
        ("/app?host=/run/postgresql&password=s3cret", "/app"),
        ("me:s3@cret@db/app", "db/app"),
    ],
)
def test_shows_the_place_without_user_and_password(rest, shown):
    """Neither the URL shown nor any text of the objects has the password."""
    address = read_url(f"postgresql://{rest}")
    assert address.shown == f"postgresql://{shown}"
    database = Database(f"postgresql://{rest}")
    assert "cret" not in f"{address!r} {address} {database} {database!r}"


@pytest.mark.parametrize("scheme", ["sqlite", "sqlite+aiosqlite"])
def test_takes_a_file_of_sqlite(scheme, tmp_path, monkeypatch):
    """Absolute paths have four slashes, relative ones three and start where the process does."""
    assert read_url(f"{scheme}:////data/a b.sqlite").path == Path("/data/a b.sqlite")
    monkeypatch.chdir(tmp_path)
    assert read_url(f"{scheme}:///data/x.sqlite").path == tmp_path / "data/x.sqlite"


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("mysql://me:s3cret@db/app", "'mysql', which is not supported"),
        ("postgresql+psycopg2://me:s3cret@db/app", r"'postgresql\+psycopg2', which is not"),
        ("me:s3cret@db", "is not a database URL"),
        ("", "is not a database URL"),
        ("postgresql://", "not supported"),
        ("postgres://me:s3/cret@db/app", "percent-encoded"),
        ("postgres://me:s3#cret@db/app", "percent-encoded"),
        ("sqlite://", "not the path of a file"),
        ("sqlite:///:memory:", "not the path of a file"),
        ("sqlite:///file:x?mode=memory", "not the path of a file"),
        ("sqlite://data/x.sqlite", "not the path of a file"),
        ("sqlite:///x.sqlite?mode=ro", "not the path of a file"),
    ],
)
def test_refuses_what_is_not_supported(url, reason):
    """The message says what is wrong and what is supported, without the password."""
    with pytest.raises(ConfigurationError, match=reason) as caught:
        Database(url)
    assert "cret" not in str(caught.value)
