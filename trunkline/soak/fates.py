"""Which events fail, and how their end is known beforehand.

A user's name says what becomes of the user's events, and the databases see to it: triggers refuse
rows, so that the services fail as they would on a broken migration, through their own code.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Mapping
from contextlib import closing
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

import msgspec

from models import Event, OrderCreated, UserRegistered
from trunkline.topology import AUTH_REGISTERED, ORDER_CREATED

#: Users whose rows are refused for 2 s of every 20, and users whose rows are refused for ever.
FLAKY, HOPELESS, GOOD = "flaky", "hopeless", "user"
_REFUSED = {
    FLAKY: f"NEW.user_id LIKE '{FLAKY}-%' AND CAST(strftime('%s', 'now') AS INTEGER) % 20 < 2",
    HOPELESS: f"NEW.user_id LIKE '{HOPELESS}-%'",
}
#: An event that is stored is not refused when it comes again, after a crash: its fate is known.
_NOT_STORED = {
    "registered_users": (
        " AND NOT EXISTS (SELECT 1 FROM registered_users AS stored WHERE stored.topic = NEW.topic"
        ' AND stored."partition" = NEW."partition" AND stored."offset" = NEW."offset")'
    )
}
#: Retries after 0.5, 1.5 and 3.5 s: no event of a flaky user is refused at all of them.
RETRIES = {"TRUNKLINE_RETRY_BACKOFF": "list:0.5,1,2"}
#: Where a service's rows of a user are, to be refused.
_TABLES = {"db-server": "registered_users", "engine": "user_totals"}
_KEYS = 500


class Shares(NamedTuple):
    """Shares of the events that fail for a while, and for ever; and of those that are invalid."""

    flaky: float = 0.05
    hopeless: float = 0.005
    invalid: float = 0.005


def refuse_rows(data: Path, services: Iterable[str] = tuple(_TABLES)) -> None:
    """Let the services' SQLite files refuse rows; their tables must be there.

    Args:
        data: Folder of the files.
        services: Whose.

    """
    for service in services:
        table = _TABLES[service]
        with closing(sqlite3.connect(data / f"{service}.sqlite", timeout=30)) as connection:
            for name, when in _REFUSED.items():
                connection.execute(
                    f"CREATE TRIGGER soak_{name} BEFORE INSERT ON {table} "
                    f"WHEN {when}{_NOT_STORED.get(table, '')} "
                    f"BEGIN SELECT RAISE(ABORT, 'refused: {name}'); END"
                )
            connection.commit()


def make_event(topic: str, number: int, seed: int, shares: Shares) -> Event:
    """Return event ``number`` of a topic, always the same one."""
    random = Random(f"{seed}|{topic}|{number}")  # noqa: S311  # the same events again
    luck = random.random()
    kind = GOOD
    if luck < shares.hopeless:
        kind = HOPELESS
    elif luck < shares.hopeless + shares.flaky:
        kind = FLAKY
    user = f"{kind}-{random.randrange(_KEYS)}"
    if topic == ORDER_CREATED:
        return OrderCreated(order_id=f"n-{number}", user_id=user, amount_cents=number % 1000)
    assert topic == AUTH_REGISTERED
    return UserRegistered(user_id=user, email=f"n-{number}@example.com")


def invalid_value(number: int) -> bytes:
    """Return a value that no reader can take."""
    return msgspec.json.encode({"userId": number, "email": "the user's id is a number"})


class Published(NamedTuple):
    """What a value in a topic says.

    Attributes:
        number: Of the event; -1 for an invalid one.
        must_die: Whether it must become a dead letter; else it must be handled.

    """

    number: int
    must_die: bool


def read_value(value: bytes) -> Published:
    """Tell which event it is, and its fate; decoded without the product's help."""
    event: Mapping[str, Any] = msgspec.json.decode(value)
    user = event["userId"]
    if not isinstance(user, str):
        return Published(-1, must_die=True)
    named = event.get("orderId") or event["email"]
    number = int(named.partition("@")[0].removeprefix("n-"))
    return Published(number, must_die=user.startswith(HOPELESS))
