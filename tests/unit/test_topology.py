"""The declaration: names, namespaces, and which topics a service needs."""

from __future__ import annotations

import pytest

from trunkline.errors import ConfigurationError
from trunkline.topology import (
    NOTIFICATION_FANOUT,
    NOTIFICATION_SENT,
    USER_ACTIVITY,
    Topology,
)

GROUPS = (
    "db-server-group",
    "engine-group",
    "notification-group",
    "activity-group",
    "dlq-consumer-group",
)
#: What some group reads, in the order of the services.
READ = ("auth.registered", "order.created", "user.notification.sent", "user.activity")
CHANGELOG = "activity-group-activity-counts-changelog"


def test_declares_the_topics_of_the_seed():
    """Names and partition counts are those of the seed."""
    partitions = {t.name: t.partitions for t in Topology().topics()}

    assert partitions["auth.registered"] == 3
    assert partitions["order.created"] == 4
    assert partitions["user.notification.sent"] == 1
    assert partitions["user.activity"] == 3


def test_puts_the_namespace_before_every_topic_and_group():
    """Two namespaces share neither a topic nor a group."""
    topology = Topology("shop")

    assert all(t.name.startswith("shop.") for t in topology.topics())
    assert topology.service("engine").group == "shop.engine-group"
    assert topology.plain_name("shop.order.created") == "order.created"


def test_finds_a_topic_by_plain_and_by_real_name():
    """Both names of a topic lead to it."""
    topology = Topology("shop")

    assert topology.topic("order.created") == topology.topic("shop.order.created")


@pytest.mark.parametrize(
    ("lookup", "wrong", "hint"),
    [("topic", "order.craeted", "order.created"), ("service", "engin", "engine")],
)
def test_guesses_what_a_wrong_name_meant(lookup, wrong, hint):
    """An unknown name is an error that names the nearest known one."""
    with pytest.raises(ConfigurationError, match=f"Did you mean '{hint}'"):
        getattr(Topology(), lookup)(wrong)


def test_every_group_has_a_failures_topic():
    """Whatever a group cannot handle has a place to go to."""
    topology = Topology("shop")
    names = {t.name for t in topology.topics()}

    groups = {topology.service(s.name).group for s in topology.services if s.group}

    assert groups == {f"shop.{group}" for group in GROUPS}
    assert {f"{group}.failures" for group in groups} <= names


def test_every_group_has_what_its_retries_need():
    """A durable table in step with the failures topic, and a place for the keys that wait."""
    topology = Topology("shop")
    declared = {t.name: t for t in topology.topics()}

    for group in GROUPS:
        failures = declared[f"shop.{group}.failures"]
        changelog = declared[f"shop.{group}-retries-changelog"]
        held_keys = declared[f"shop.{group}.held-keys"]
        assert changelog.same_partitions_as == failures.name
        assert changelog.partitions == failures.partitions
        assert failures.cleanup_policy == "delete"
        for remembered in (changelog, held_keys):
            assert remembered.cleanup_policy == "compact"
            assert remembered.retention_ms == -1


def test_publishers_need_no_retries():
    """Who reads nothing fails nothing."""
    topology = Topology()
    names = {t.name for t in topology.topics()}

    for service in topology.services:
        if service.group is None:
            needed = {t.name for t in topology.topics_of(service.name)}
            assert {name for name in needed if not name.startswith("trunkline.")} == set(
                service.publishes
            )
    assert not any(name.startswith(("auth-service", "web-service")) for name in names)


def test_every_topic_that_is_read_has_dead_letters():
    """With its partitions, so that a key's dead letters stay in order, and never deleted."""
    topology = Topology("shop")
    declared = {t.name: t for t in topology.topics()}
    dead = {name for name in declared if name.startswith("shop.dlq.")}

    assert dead == {f"shop.dlq.{topic}" for topic in READ}
    for topic in READ:
        letters = declared[f"shop.dlq.{topic}"]
        assert letters.partitions == topology.topic(topic).partitions
        assert (letters.retention_ms, letters.cleanup_policy) == (-1, "delete")


def test_dead_letters_of_dead_letters_have_no_place():
    """The dlq group gives nothing up: it has failures, but no dead letter topic."""
    names = {t.name for t in Topology().topics()}

    assert "dlq-consumer-group.failures" in names
    assert not any(name.startswith("dlq.dlq") for name in names)


def test_what_was_done_with_dead_letters_stays_known():
    """One compacted partition: the last word on each dead letter, in one order for all."""
    (actions,) = [t for t in Topology("shop").topics() if t.name.endswith(".actions")]

    assert actions.name == "shop.dlq-consumer-group.actions"
    assert (actions.partitions, actions.cleanup_policy, actions.retention_ms) == (1, "compact", -1)


def test_a_topology_without_the_dlq_service_has_no_actions():
    """A cut-down declaration, as `trunkline verify` uses it, is complete in itself."""
    whole = Topology()
    (engine,) = [s for s in whole.services if s.name == "engine"]

    names = {t.name for t in Topology("", (engine,)).topics()}

    assert "dlq.order.created" in names
    assert "dlq.user.activity" not in names
    assert not any(name.endswith(".actions") for name in names)


def test_declares_no_topic_twice():
    """Several services read a topic, and each wants its dead letters."""
    names = [t.name for t in Topology().topics()]

    assert len(names) == len(set(names)) == 29


def test_each_hop_of_a_failed_event_takes_the_largest_one():
    """An event of the largest size can be handed over, remembered, and become a dead letter."""
    topology = Topology()
    largest = max(t.max_message_bytes for t in topology.declared_topics)
    failures = topology.failures_topic("engine-group").max_message_bytes

    assert failures >= largest + 64 * 1024
    assert topology.retries_changelog("engine-group").max_message_bytes >= failures
    assert topology.dead_letters_topic("order.created").max_message_bytes >= failures


def test_the_changelog_follows_the_topic_that_its_table_reads():
    """A table refuses to start when the two differ."""
    (changelog,) = Topology("shop").changelogs("activity-processor")

    assert changelog.name == f"shop.{CHANGELOG}"
    assert changelog.same_partitions_as == f"shop.{USER_ACTIVITY}"
    assert changelog.partitions == Topology().topic(USER_ACTIVITY).partitions


def test_a_service_needs_what_it_reads_writes_and_remembers_by():
    """Reads, publishes, relays, what failed events need, and changelogs, each once."""
    topology = Topology()

    assert [t.name for t in topology.topics_of("notification-service")] == [
        NOTIFICATION_SENT,
        NOTIFICATION_FANOUT,
        "notification-group.failures",
        "notification-group-retries-changelog",
        "notification-group.held-keys",
        "dlq.user.notification.sent",
        "trunkline.workers",
        "trunkline.control",
    ]
    assert [t.name for t in topology.topics_of("activity-processor")] == [
        USER_ACTIVITY,
        "activity-group.failures",
        "activity-group-retries-changelog",
        "activity-group.held-keys",
        "dlq.user.activity",
        CHANGELOG,
        "trunkline.workers",
        "trunkline.control",
    ]
    assert [t.name for t in topology.topics_of("web-service")] == [
        USER_ACTIVITY,
        "trunkline.workers",
    ]


def test_the_dlq_service_needs_every_dead_letter_topic_and_the_actions():
    """It reads no topic of events."""
    assert [t.name for t in Topology().topics_of("dlq")] == [
        "dlq-consumer-group.failures",
        "dlq-consumer-group-retries-changelog",
        "dlq-consumer-group.held-keys",
        *(f"dlq.{topic}" for topic in READ),
        "dlq-consumer-group.actions",
        "trunkline.workers",
        "trunkline.control",
    ]


def test_what_the_system_knows_of_itself_has_topics():
    """Everybody reports, consumers are ordered, and only the console audits."""
    topology = Topology("shop")
    workers, control, audit = topology.system_topics()

    assert [workers.name, control.name, audit.name] == [
        "shop.trunkline.workers",
        "shop.trunkline.control",
        "shop.trunkline.audit",
    ]
    assert {t.partitions for t in (workers, control, audit)} == {1}
    assert (control.cleanup_policy, control.retention_ms) == ("compact", -1)
    assert topology.topics_of("console") == [workers, control, audit]
    assert audit not in topology.topics_of("engine")


def test_all_that_services_need_is_declared():
    """No service needs a topic that ``apply`` would not create."""
    topology = Topology("shop")
    declared = {t.name for t in topology.topics()}

    for service in topology.services:
        assert {t.name for t in topology.topics_of(service.name)} <= declared
