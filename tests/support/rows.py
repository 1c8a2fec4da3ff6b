"""Registrations in, and the rows that the db-server's pods made of them."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path

from tests.support.journal import publish
from trunkline.delivery.producer import OutRecord


async def publish_registrations(servers: str, topic: str, numbers: Iterable[int]) -> None:
    """Publish a registration of a user of its own for each number."""
    await publish(servers, [_registration(topic, number) for number in numbers])


def count_rows(folder: Path) -> int:
    """Return how many registrations the SQLite file of a test's workers has."""
    file = folder / "data/db-server.sqlite"
    if not file.exists():
        return 0
    with closing(sqlite3.connect(file, timeout=30)) as connection:
        [found] = connection.execute("select count(*) from registered_users").fetchone()
    return int(found)


def _registration(topic: str, number: int) -> OutRecord:
    value = b'{"userId": "u-%d", "email": "u-%d@example.com"}' % (number, number)
    return OutRecord(topic, value, key=b"u-%d" % number)
