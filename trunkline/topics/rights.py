"""What a worker checks before it starts: that Kafka lets it do all that its service does."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from aiokafka.errors import (
    GroupAuthorizationFailedError,
    IncompatibleBrokerVersion,
    KafkaError,
)

from trunkline.connection import KafkaConnection
from trunkline.errors import RefusedError
from trunkline.topics.acl_changes import OPERATIONS
from trunkline.topics.acls import Acl, rights_of
from trunkline.topics.cluster import Cluster
from trunkline.topics.rights_protocol import AuthorizedGroupsRequest, AuthorizedTopicsRequest
from trunkline.topology import Topology

_DENIED = frozenset({29, 30})  # TOPIC_ and GROUP_AUTHORIZATION_FAILED


async def check_service_rights(
    connection: KafkaConnection, topology: Topology, service_name: str
) -> None:
    """Check that this client may do to topics and groups what its service does.

    Kafka tells nothing of transactional ids: a producer is told when it opens.

    Raises:
        BrokerError: No broker answers within a few seconds.
        RefusedError: Rights are missing; the message lists them all, and how they are granted.

    """
    needed = [acl for acl in rights_of(topology, service_name).acls if not acl.prefixed]
    async with Cluster(connection) as cluster:
        try:
            allowed = await _allowed(cluster, needed)
        except (IncompatibleBrokerVersion, NotImplementedError):  # older than Kafka 2.3
            return
    missing = [one for acl in needed if (one := _missing(acl, allowed))]
    if missing:
        raise RefusedError(_explain(connection, service_name, missing))


async def _allowed(cluster: Cluster, needed: Iterable[Acl]) -> dict[tuple[str, str], int]:
    """Return which operations are allowed, as bits, by resource and name."""
    names: dict[str, list[str]] = {"topic": [], "group": []}
    for acl in needed:
        names.setdefault(acl.resource, []).append(acl.name)
    topics = await cluster.send(AuthorizedTopicsRequest(names["topic"]))
    found = {
        ("topic", name): 0 if code in _DENIED else operations
        for code, name, _, _, operations in topics.topics
        if code in {0, *_DENIED}
    }
    for group in names["group"]:
        operations = await _allowed_to_group(cluster, group)
        if operations is not None:
            found["group", group] = operations
    return found


async def _allowed_to_group(cluster: Cluster, group: str) -> int | None:
    """Return what is allowed, as bits; None while nobody knows."""
    try:
        answer = await cluster.ask_coordinator(group, AuthorizedGroupsRequest([group]))
    except GroupAuthorizationFailedError:
        return 0
    except (KafkaError, OSError, TimeoutError):
        return None  # the consumer will be told
    [(code, *_, operations)] = answer.groups
    if code in _DENIED:
        return 0
    return None if code else int(operations)


def _missing(acl: Acl, allowed: dict[tuple[str, str], int]) -> str:
    bits = allowed.get((acl.resource, acl.name))
    if bits is None:  # another check's: the topic is missing
        return ""
    lacking = [name for name in acl.operations if not bits >> OPERATIONS[name] & 1]
    return f"{', '.join(lacking)} on {acl.resource} {acl.name}" if lacking else ""


def _explain(connection: KafkaConnection, service: str, missing: Iterable[str]) -> str:
    options: Any = connection.security
    user = options.get("sasl_plain_username")
    who = f"user {user!r}" if user else "this client"
    lines = [
        f"{service} cannot start: Kafka at {connection} does not give {who} all rights.",
        *(f"  missing: {text}" for text in missing),
        f"Grant them: trunkline topics acls --service {service} --apply (or see --commands)",
    ]
    return "\n".join(lines)
