"""Fixtures of the tests that need a SQL database."""

from __future__ import annotations

import pytest

from tests.support.postgres import create_database, drop_database, postgres_server


@pytest.fixture(scope="session")
def postgres(tmp_path_factory, worker_id):
    """URL of a PostgreSQL server that is there for the whole run."""
    own = tmp_path_factory.getbasetemp()
    # Each of pytest-xdist's workers has a folder of its own in that of the run.
    with postgres_server(own if worker_id == "master" else own.parent) as url:
        yield url


@pytest.fixture
async def postgresql_url(postgres):
    """URL of an empty PostgreSQL database."""
    url = await create_database(postgres)
    yield url
    await drop_database(postgres, url)


@pytest.fixture
def sqlite_url(tmp_path):
    """URL of an SQLite file that does not exist yet, in a folder that does not either."""
    return f"sqlite+aiosqlite:///{tmp_path}/data/test.sqlite"


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request):
    """URL of an empty database of each kind."""
    return request.getfixturevalue(f"{request.param}_url")
