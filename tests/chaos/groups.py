"""The two groups under test and their topics."""

from __future__ import annotations

from dataclasses import dataclass

from models import OrderCreated, UserRegistered
from trunkline.topology import AUTH_REGISTERED, ORDER_CREATED, Service, Topic, Topology


@dataclass(frozen=True)
class Group:
    """One consuming group.

    Attributes:
        name: Plain name: of the group, the service and the SQLite file.
        reads: Plain names of its topics.
        batch: Whether its handler takes batches.

    """

    name: str
    reads: tuple[str, ...]
    batch: bool


#: Handles sixteen keys of a partition at once, of two topics; adds up the orders in SQL.
KEYS = Group("chaos-keys", (AUTH_REGISTERED, ORDER_CREATED), batch=False)
#: Handles batches, and stores each registration as a row.
ROWS = Group("chaos-rows", (AUTH_REGISTERED,), batch=True)
GROUPS = (KEYS, ROWS)
CONCURRENCY = 16
MAX_BATCH = 50

TOPICS = (
    Topic(AUTH_REGISTERED, 3, UserRegistered),
    Topic(ORDER_CREATED, 2, OrderCreated),
)


def chaos_topology(namespace: str) -> Topology:
    """Return topics and groups of a run."""
    services = tuple(Service(g.name, "consumer", g.name, reads=g.reads) for g in GROUPS)
    return Topology(namespace, services, TOPICS)
