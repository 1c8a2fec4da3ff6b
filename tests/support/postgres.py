"""A real PostgreSQL for tests: Debian's server in a throw-away folder, on the loopback only.

One cluster serves a whole test run, pytest-xdist's workers included: the first who asks starts it,
the last who lets go stops it. With ``DATABASE_URL`` set that server is used instead; its user must
be allowed to create databases.
"""

from __future__ import annotations

import fcntl
import json
import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote
from uuid import uuid4

import psutil
from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine

from tests.support.missing import unavailable
from trunkline.broker import find_free_port

_BINARIES = Path("/usr/lib/postgresql")
#: With characters that a URL must have encoded.
PASSWORD = "p@ss/w:rd#1"
#: No durability: the folder is thrown away. Small, because the machine is shared.
_OPTIONS = (
    "-c listen_addresses=127.0.0.1 -c unix_socket_directories='' -c fsync=off "
    "-c synchronous_commit=off -c full_page_writes=off -c shared_buffers=16MB "
    "-c max_connections=100 -c log_min_messages=warning"
)


@contextmanager
def postgres_server(shared: Path) -> Iterator[str]:
    """Yield the URL of a PostgreSQL server, for as long as somebody of this run uses it.

    Args:
        shared: Folder that all processes of the test run share.

    """
    given = os.environ.get("DATABASE_URL", "")
    if given:
        yield given
        return
    binaries = find_binaries()
    with _locked(shared) as state:
        if not _users(state):
            state["cluster"] = str(_start(binaries))
        state["users"] = [*_users(state), os.getpid()]
        url = _url(Path(state["cluster"]))
    try:
        yield url
    finally:
        with _locked(shared) as state:
            state["users"] = [user for user in _users(state) if user != os.getpid()]
            if not state["users"]:
                _stop(binaries, Path(state.pop("cluster")))


def find_binaries() -> Path:
    """Return the newest server's folder of binaries; skip the test, or fail it in CI, without."""
    found = sorted(_BINARIES.glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    if not found:
        unavailable(
            f"No PostgreSQL server in {_BINARIES}: install Debian's postgresql, or set "
            "DATABASE_URL."
        )
    return found[-1].parent


@contextmanager
def _locked(shared: Path) -> Iterator[dict]:
    """Lend the run's state, ``{"cluster": folder, "users": [pid…]}``, to one process at a time."""
    path = shared / "postgres.json"
    with path.open("a+") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        file.seek(0)
        state = json.loads(file.read() or "{}")
        yield state
        file.truncate(0)
        file.write(json.dumps(state))


def _users(state: dict) -> list[int]:
    """Return who uses the server, without those that were killed."""
    return [pid for pid in state.get("users", []) if psutil.pid_exists(pid)]


def _start(binaries: Path) -> Path:
    # Not pytest's own folder: that one is closed to the server's account.
    cluster = Path(tempfile.mkdtemp(prefix="trunkline-postgres-"))
    secret = cluster / "password"
    secret.write_text(PASSWORD)
    for path in (cluster, secret):
        if _account():
            shutil.chown(path, _account(), _group())
    try:
        _run(binaries / "initdb", "-D", cluster / "data", "-U", "trunkline", "-E", "UTF8", "-N",
             "--locale=C", "-A", "scram-sha-256", f"--pwfile={secret}")  # fmt: skip
        port = find_free_port()
        (cluster / "port").write_text(str(port))
        options = f"{_OPTIONS} -p {port}"
        _run(
            binaries / "pg_ctl",
            "-D",
            cluster / "data",
            "-l",
            cluster / "log",
            "-w",
            "-o",
            options,
            "start",
        )
    except BaseException:
        shutil.rmtree(cluster, ignore_errors=True)
        raise
    return cluster


def _stop(binaries: Path, cluster: Path) -> None:
    _run(binaries / "pg_ctl", "-D", cluster / "data", "-m", "immediate", "-w", "stop")
    shutil.rmtree(cluster)


def _run(*command: object) -> None:
    account = {"user": _account(), "group": _group(), "extra_groups": []} if _account() else {}
    done = subprocess.run(
        [str(part) for part in command],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        timeout=60,
        check=False,
        cwd="/",
        **account,
    )
    assert done.returncode == 0, f"{command[0]} failed ({done.returncode}): {done.stderr}"


def _account() -> str:
    """Return who runs the server: PostgreSQL refuses root. Empty: whoever runs the tests."""
    if os.geteuid() != 0:
        return ""
    names = {entry.pw_name for entry in pwd.getpwall()}
    return "postgres" if "postgres" in names else "nobody"


def _group() -> int:
    return pwd.getpwnam(_account()).pw_gid


def _url(cluster: Path) -> str:
    port = (cluster / "port").read_text()
    return f"postgresql://trunkline:{quote(PASSWORD, safe='')}@127.0.0.1:{port}/postgres"


async def create_database(server_url: str) -> str:
    """Create an empty database and return its URL."""
    name = f"trunkline_test_{uuid4().hex}"
    await run_sql(server_url, f"CREATE DATABASE {name}")
    return with_database(server_url, name)


async def drop_database(server_url: str, url: str) -> None:
    """Drop a database of :func:`create_database`, whoever is still connected."""
    name = url.partition("?")[0].rpartition("/")[2]
    await run_sql(server_url, f"DROP DATABASE {name} WITH (FORCE)")


def with_database(url: str, name: str) -> str:
    """Return the URL with another database's name."""
    place, mark, options = url.partition("?")
    return f"{place.rpartition('/')[0]}/{name}{mark}{options}"


async def run_sql(url: str, statement: str, **values: object) -> list:
    """Run one statement outside of any transaction; return its rows, if it has any."""
    # The driver reads the URL itself, as in tables/engines.py.
    engine = create_async_engine(
        "postgresql+asyncpg://",
        connect_args={"dsn": url},
        isolation_level="AUTOCOMMIT",
    )
    try:
        async with engine.connect() as connection:
            result = await connection.execute(text(statement), values)
            return list(result.all()) if result.returns_rows else []
    finally:
        await engine.dispose()
