"""The one declaration of services, groups and topics (seed, sections 1 to 3; DESIGN section 2).

Topic names stand here and nowhere else. A namespace may be put before every topic and group, so
that tests, ``trunkline verify`` and several installations can share a cluster.

To add a topic of your own: one :class:`Topic`, its name in the ``reads`` or ``publishes`` of a
:class:`Service`, and a handler in ``agents/`` that ``app.py`` wires to it.
"""

from __future__ import annotations

import difflib
from dataclasses import dataclass, field, replace
from typing import Literal

from models import ActivityRecorded, Event, NotificationSent, OrderCreated, UserRegistered
from trunkline.errors import ConfigurationError

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS

#: Largest record batch that a topic takes: an event of 1 MiB, and room for wasteful clients.
MAX_MESSAGE_BYTES = 2 * 1024 * 1024
#: What a failure record adds to the event that failed: headers for origin, error, stack trace.
FAILURE_HEADERS_BYTES = 256 * 1024
#: Copies of every partition, and how many of them must have a record before it is acknowledged;
#: with fewer than three brokers it is one and one, for two copies would survive no outage either.
REPLICATION_FACTOR = 3
MIN_INSYNC_REPLICAS = 2

AUTH_REGISTERED = "auth.registered"
ORDER_CREATED = "order.created"
NOTIFICATION_SENT = "user.notification.sent"
NOTIFICATION_FANOUT = "notification.fanout"
USER_ACTIVITY = "user.activity"
#: Put before a topic's plain name: where the events end that no group could handle.
DEAD_LETTERS_PREFIX = "dlq."
DLQ_SERVICE = "dlq"
CONSOLE_SERVICE = "console"
#: What the system knows of itself: see :meth:`Topology.system_topics`.
WORKERS = "trunkline.workers"
CONTROL = "trunkline.control"
AUDIT = "trunkline.audit"

Role = Literal["publisher", "consumer"]


@dataclass(frozen=True)
class Topic:
    """One Kafka topic as it should be.

    Attributes:
        name: Kafka's name for it, the namespace included.
        partitions: How many; growing is possible later, shrinking never.
        model: What its values are, as JSON; None for records that we pass on as they came.
        retention_ms: How long records stay; -1 for ever.
        cleanup_policy: Kafka's ``cleanup.policy``.
        same_partitions_as: Name of the topic whose partition count this one must have (a table's
            changelog must have that of its source topic).
        max_message_bytes: Kafka's ``max.message.bytes``, at least.
        segment_bytes: Kafka's ``segment.bytes``; None leaves it to the broker.

    """

    name: str
    partitions: int
    model: type[Event] | None = None
    retention_ms: int = 7 * DAY_MS
    cleanup_policy: Literal["delete", "compact", "compact,delete"] = "delete"
    same_partitions_as: str | None = None
    max_message_bytes: int = MAX_MESSAGE_BYTES
    segment_bytes: int | None = None


@dataclass(frozen=True)
class Service:
    """One deployable service.

    Attributes:
        name: What ``TRUNKLINE_SERVICE`` says.
        group: Kafka consumer group, and Faust app id; publishers have none.
        reads: Topics that its agents handle.
        publishes: Topics that its HTTP endpoint takes events for.
        relays_to: Topics that its agents write to.
        reads_dead_letters: Whether it reads every ``dlq.<topic>``.
        pods: How many ``scripts/up`` starts.

    """

    name: str
    role: Role
    group: str | None = None
    reads: tuple[str, ...] = ()
    publishes: tuple[str, ...] = ()
    relays_to: tuple[str, ...] = ()
    reads_dead_letters: bool = False
    pods: int = 1


TOPICS = (
    Topic(AUTH_REGISTERED, partitions=3, model=UserRegistered),
    Topic(ORDER_CREATED, partitions=4, model=OrderCreated),
    # One partition: the seed's third scenario, in which a group alone would reach only one pod.
    Topic(NOTIFICATION_SENT, partitions=1, model=NotificationSent),
    Topic(NOTIFICATION_FANOUT, partitions=1, model=NotificationSent, retention_ms=DAY_MS),
    Topic(USER_ACTIVITY, partitions=3, model=ActivityRecorded),
)

SERVICES = (
    Service("auth-service", "publisher", publishes=(AUTH_REGISTERED, USER_ACTIVITY)),
    Service("order-service", "publisher", publishes=(ORDER_CREATED,)),
    Service("web-service", "publisher", publishes=(USER_ACTIVITY,)),
    Service("mobile-service", "publisher", publishes=(USER_ACTIVITY,)),
    Service("db-server", "consumer", "db-server-group", reads=(AUTH_REGISTERED,), pods=2),
    Service("engine", "consumer", "engine-group", reads=(AUTH_REGISTERED, ORDER_CREATED), pods=2),
    Service(
        "notification-service",
        "consumer",
        "notification-group",
        reads=(NOTIFICATION_SENT,),
        publishes=(NOTIFICATION_SENT,),
        relays_to=(NOTIFICATION_FANOUT,),
        pods=2,
    ),
    Service("activity-processor", "consumer", "activity-group", reads=(USER_ACTIVITY,), pods=2),
    # Reads the dead letters of every topic that some group reads.
    Service(DLQ_SERVICE, "consumer", "dlq-consumer-group", reads_dead_letters=True),
    # Shows all of them; the last one, so that the others keep their ports in scripts/up.
    Service(CONSOLE_SERVICE, "publisher"),
)

#: The table in which a group's failed events wait; its changelog is ``<group>-retries-changelog``.
RETRIES_TABLE = "retries"
#: The table of the activity-processor; its changelog is ``<group>-<table>-changelog``.
ACTIVITY_TABLE = "activity-counts"
FAILURES_PARTITIONS = 3


@dataclass(frozen=True)
class Topology:
    """Services and topics, with the namespace put before every topic and group.

    Lookups take the plain names of the declaration (``auth.registered``); what they return carries
    the real names.
    """

    namespace: str = ""
    services: tuple[Service, ...] = SERVICES
    declared_topics: tuple[Topic, ...] = TOPICS
    _by_name: dict[str, Service] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_by_name", {s.name: s for s in self.services})

    def real_name(self, name: str) -> str:
        """Put the namespace before a topic's or a group's plain name."""
        return f"{self.namespace}.{name}" if self.namespace else name

    def plain_name(self, real_name: str) -> str:
        """Take the namespace off a topic's or a group's real name."""
        return real_name.removeprefix(f"{self.namespace}.") if self.namespace else real_name

    def service(self, name: str) -> Service:
        """Return a service by its name, its group with the namespace.

        Raises:
            ConfigurationError: No service has this name.

        """
        service = self._by_name.get(name)
        if service is None:
            raise ConfigurationError(f"Unknown service {name!r}. {self._hint(name, self._by_name)}")
        return replace(service, group=service.group and self.real_name(service.group))

    def topic(self, name: str) -> Topic:
        """Return a declared topic by its plain or its real name.

        Raises:
            ConfigurationError: No topic has this name.

        """
        plain = self.plain_name(name)
        for topic in self.declared_topics:
            if topic.name == plain:
                return replace(topic, name=self.real_name(plain))
        known = {topic.name: topic for topic in self.declared_topics}
        raise ConfigurationError(f"Unknown topic {name!r}. {self._hint(plain, known)}")

    def any_topic(self, name: str) -> Topic:
        """Return any topic that the application needs by its plain or its real name.

        Raises:
            ConfigurationError: No topic has this name.

        """
        known = {self.plain_name(topic.name): topic for topic in self.topics()}
        plain = self.plain_name(name)
        if plain not in known:
            raise ConfigurationError(f"Unknown topic {name!r}. {self._hint(plain, known)}")
        return known[plain]

    def failures_topic(self, group: str) -> Topic:
        """Return the topic to which a group hands over what it could not handle.

        Key and value are those of the failed record; its origin and the error are in headers.
        """
        return Topic(
            f"{self._group(group)}.failures",
            FAILURES_PARTITIONS,
            retention_ms=30 * DAY_MS,
            max_message_bytes=MAX_MESSAGE_BYTES + FAILURE_HEADERS_BYTES,
        )

    def retries_changelog(self, group: str) -> Topic:
        """Return the changelog of a group's retries table: one partition for each of failures."""
        return Topic(
            f"{self._group(group)}-{RETRIES_TABLE}-changelog",
            FAILURES_PARTITIONS,
            retention_ms=-1,
            cleanup_policy="compact",
            same_partitions_as=self.failures_topic(group).name,
            max_message_bytes=MAX_MESSAGE_BYTES + 2 * FAILURE_HEADERS_BYTES,
        )

    def held_keys_topic(self, group: str) -> Topic:
        """Return the topic that says which keys of a group wait behind a failed event."""
        return Topic(
            f"{self._group(group)}.held-keys",
            FAILURES_PARTITIONS,
            retention_ms=-1,
            cleanup_policy="compact",
        )

    def dead_letters_topic(self, topic: str) -> Topic:
        """Return the topic of a topic's dead letters, ``dlq.<topic>``: kept for ever.

        They carry their event's timestamp, by which Kafka would count a retention: an old event
        would be deleted on arrival.
        """
        source = self.topic(topic)
        return Topic(
            self.real_name(f"{DEAD_LETTERS_PREFIX}{self.plain_name(source.name)}"),
            source.partitions,
            retention_ms=-1,
            max_message_bytes=MAX_MESSAGE_BYTES + FAILURE_HEADERS_BYTES,
        )

    def dead_letters_topics(self) -> list[Topic]:
        """Return the dead letter topics of all topics that some group reads."""
        read = dict.fromkeys(name for service in self.services for name in service.reads)
        return [self.dead_letters_topic(name) for name in read]

    def dead_letter_actions_topic(self) -> Topic:
        """Return the topic that says which dead letters were redriven or discarded."""
        group = self.service(DLQ_SERVICE).group
        return Topic(f"{group}.actions", 1, retention_ms=-1, cleanup_policy="compact")

    def workers_topic(self) -> Topic:
        """Return the topic to which every pod reports how it is, keyed by its name.

        Compacted, in small segments: a reader gets a report of each pod without reading a day's.
        """
        return Topic(
            self.real_name(WORKERS),
            1,
            retention_ms=DAY_MS,
            cleanup_policy="compact,delete",
            segment_bytes=4 * 1024 * 1024,
        )

    def control_topic(self) -> Topic:
        """Return the topic of what operators ordered: which partitions pause, which pods drain."""
        return Topic(self.real_name(CONTROL), 1, retention_ms=-1, cleanup_policy="compact")

    def audit_topic(self) -> Topic:
        """Return the topic that says who did what, and when; kept for a year."""
        return Topic(self.real_name(AUDIT), 1, retention_ms=365 * DAY_MS)

    def system_topics(self) -> list[Topic]:
        """Return the topics that belong to no group: reports, orders, audit."""
        return [self.workers_topic(), self.control_topic(), self.audit_topic()]

    def publishers_id(self, service: str) -> str:
        """Return what the transactional ids of a service's publishers begin with."""
        return self.real_name(f"{service}.publisher.")

    def _group(self, group: str) -> str:
        return self.real_name(self.plain_name(group))

    def group_topics(self, group: str) -> list[Topic]:
        """Return the topics by which a group remembers what failed."""
        return [
            self.failures_topic(group),
            self.retries_changelog(group),
            self.held_keys_topic(group),
        ]

    def topics(self) -> list[Topic]:
        """Return every topic that the application needs, in the order of the declaration."""
        topics = [replace(t, name=self.real_name(t.name)) for t in self.declared_topics]
        for service in self.services:
            topics += self.group_topics(service.group) if service.group else []
            topics += self.changelogs(service.name)
        topics += self.dead_letters_topics()
        if any(service.reads_dead_letters for service in self.services):
            topics.append(self.dead_letter_actions_topic())
        return topics + self.system_topics()

    def changelogs(self, service_name: str) -> list[Topic]:
        """Return the changelogs of a service's own tables; Faust derives the same names."""
        service = self.service(service_name)
        if service.name != "activity-processor" or not service.group:
            return []
        source = self.topic(USER_ACTIVITY)
        return [
            Topic(
                f"{service.group}-{ACTIVITY_TABLE}-changelog",
                source.partitions,
                retention_ms=-1,
                cleanup_policy="compact",
                same_partitions_as=source.name,
                max_message_bytes=source.max_message_bytes,
            )
        ]

    def topics_of(self, service_name: str) -> list[Topic]:
        """Return the topics that a service cannot work without, each one once.

        Raises:
            ConfigurationError: No service has this name.

        """
        service = self.service(service_name)
        names = (*service.reads, *service.publishes, *service.relays_to)
        topics = [self.topic(name) for name in dict.fromkeys(names)]
        if service.group:
            topics += self.group_topics(service.group)
            topics += [self.dead_letters_topic(name) for name in service.reads]
        if service.reads_dead_letters:
            topics += [*self.dead_letters_topics(), self.dead_letter_actions_topic()]
        topics += self.changelogs(service_name)
        if service.name == CONSOLE_SERVICE:
            return topics + self.system_topics()
        topics.append(self.workers_topic())
        return [*topics, self.control_topic()] if service.group else topics

    @staticmethod
    def _hint(name: str, known: dict[str, Service] | dict[str, Topic]) -> str:
        close = difflib.get_close_matches(name, known, n=1)
        return f"Did you mean {close[0]!r}?" if close else f"Known: {', '.join(known)}."
