"""The rights that each service needs in Kafka, and no others: derived from the topology.

A principal per service. Rights on groups and transactional ids hold for prefixes where a pod's name
is part of the name. An idempotent producer needs no right on the cluster: that of writing to some
topic is enough (KIP-679, Kafka 2.8).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, NamedTuple

from trunkline.dead_letters.actions import TRANSACTIONAL_ID
from trunkline.errors import ConfigurationError
from trunkline.topology import CONSOLE_SERVICE, Service, Topic, Topology

#: Who runs ``trunkline retries``, ``dlq``, ``tail`` and ``status``; who runs ``trunkline topics
#: apply``; and what scales services on their lag (KEDA), or watches it.
OPERATOR, TOPICS_ADMIN, LAG_READER = "operator", "topics-admin", "lag-reader"
ROLES = (OPERATOR, TOPICS_ADMIN, LAG_READER)

Resource = Literal["topic", "group", "transactional-id", "cluster"]
_READ = ("Read", "Describe", "DescribeConfigs")
_WRITE = ("Write", "Describe", "DescribeConfigs")
_BOTH = ("Read", "Write", "Describe", "DescribeConfigs")


class Acl(NamedTuple):
    """Operations that a principal may do to a resource, or to all whose names begin so."""

    resource: Resource
    name: str
    operations: tuple[str, ...]
    prefixed: bool = False


class Rights(NamedTuple):
    """The rights of one principal."""

    who: str
    acls: list[Acl]


def all_rights(topology: Topology) -> list[Rights]:
    """Return the rights of every service and of every role."""
    return [rights_of(topology, who) for who in principals(topology)]


def principals(topology: Topology) -> list[str]:
    """Return every service and every role, by the names that they have in Kafka."""
    return [*(service.name for service in topology.services), *ROLES]


def rights_of(topology: Topology, who: str) -> Rights:
    """Return the rights of a service, or of one of the :data:`ROLES`.

    Raises:
        ConfigurationError: There is no such service.

    """
    if who == TOPICS_ADMIN:
        return Rights(who, list(_administrating(topology)))
    if who == LAG_READER:
        return Rights(who, list(_reading_lag(topology)))
    if who in {OPERATOR, CONSOLE_SERVICE}:
        return Rights(who, _operating(topology))
    try:
        service = topology.service(who)
    except ConfigurationError as error:
        text = f"{error} There are also the roles {', '.join(ROLES)}."
        raise ConfigurationError(text) from None
    return Rights(who, _serving(topology, service))


def _serving(topology: Topology, service: Service) -> list[Acl]:
    allowed = _Collected()
    reads = [topology.topic(name) for name in service.reads]
    writes = [topology.topic(name) for name in (*service.publishes, *service.relays_to)]
    allowed.add(_READ, [*reads, *(topology.topic(name) for name in service.relays_to)])
    allowed.add(_WRITE, writes)
    allowed.add(_BOTH, topology.changelogs(service.name))
    allowed.add(_WRITE, [topology.workers_topic()])
    if service.reads_dead_letters:
        letters = [*topology.dead_letters_topics(), topology.dead_letter_actions_topic()]
        allowed.add(_READ, letters)
    if service.group:
        allowed.add(_READ, [topology.control_topic()])
        allowed.add(_BOTH, topology.group_topics(service.group))
        allowed.add(_WRITE, [topology.dead_letters_topic(name) for name in service.reads])
    acls = allowed.acls()
    if service.group:
        acls += [
            Acl("group", service.group, ("Read",)),
            # TRUNKLINE_NOTIFICATIONS=direct: a group of its own for each pod.
            *([Acl("group", f"{service.group}-", ("Read",), True)] if service.relays_to else []),
            Acl("transactional-id", f"{service.group}.", ("Write", "Describe"), True),
        ]
    if service.publishes:
        acls += _publishing(topology, service.name)
    return acls


def _publishing(topology: Topology, service: str) -> list[Acl]:
    prefix = topology.publishers_id(service)
    return [Acl("transactional-id", prefix, ("Write", "Describe"), True)]


def _operating(topology: Topology) -> list[Acl]:
    allowed = _Collected()
    allowed.add(_READ, topology.topics())
    groups = [service.group for service in topology.services if service.group]
    allowed.add(_WRITE, [topology.failures_topic(group) for group in groups])
    allowed.add(_WRITE, [*topology.system_topics(), topology.dead_letter_actions_topic()])
    actions_id = topology.real_name(TRANSACTIONAL_ID)
    return [
        *allowed.acls(),
        *(Acl("group", topology.real_name(group), ("Describe",)) for group in groups),
        Acl("transactional-id", actions_id, ("Write", "Describe")),
    ]


def _administrating(topology: Topology) -> Iterable[Acl]:
    operations = ("Create", "Alter", "AlterConfigs", "Describe", "DescribeConfigs")
    return (Acl("topic", topic.name, operations) for topic in topology.topics())


def _reading_lag(topology: Topology) -> Iterable[Acl]:
    """Ends of all that groups read, and their committed offsets: no event can be read with them."""
    topics: list[Topic] = []
    groups = []
    for service in topology.services:
        if service.group:
            groups.append(topology.real_name(service.group))
            topics += [topology.topic(name) for name in service.reads]
            topics.append(topology.failures_topic(service.group))
        if service.reads_dead_letters:
            topics += [*topology.dead_letters_topics(), topology.dead_letter_actions_topic()]
    for name in dict.fromkeys(topic.name for topic in topics):
        yield Acl("topic", name, ("Describe",))
    for group in groups:
        yield Acl("group", group, ("Describe",))


class _Collected:
    """Operations by topic, in the order in which they came."""

    def __init__(self) -> None:
        self._operations: dict[str, list[str]] = {}

    def add(self, operations: tuple[str, ...], topics: Iterable[Topic]) -> None:
        for topic in topics:
            known = self._operations.setdefault(topic.name, [])
            known += [one for one in operations if one not in known]

    def acls(self) -> list[Acl]:
        order = _BOTH.index
        return [
            Acl("topic", name, tuple(sorted(operations, key=order)))
            for name, operations in self._operations.items()
        ]
