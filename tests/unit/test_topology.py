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

    assert {f"{group}.failures" for group in groups} <= names


def test_a_failures_topic_takes_the_largest_event_and_its_error():
    """An event of the largest size can always be handed over."""
    topology = Topology()
    largest = max(t.max_message_bytes for t in topology.declared_topics)

    assert topology.failures_topic("engine-group").max_message_bytes >= largest + 64 * 1024


def test_the_changelog_follows_the_topic_that_its_table_reads():
    """A table refuses to start when the two differ."""
    (changelog,) = Topology("shop").changelogs("activity-processor")

    assert changelog.name == f"shop.{CHANGELOG}"
    assert changelog.same_partitions_as == f"shop.{USER_ACTIVITY}"
    assert changelog.partitions == Topology().topic(USER_ACTIVITY).partitions


def test_a_service_needs_what_it_reads_writes_and_remembers_by():
    """Reads, publishes, relays, the failures topic and changelogs, each once."""
    topology = Topology()

    assert [t.name for t in topology.topics_of("notification-service")] == [
        NOTIFICATION_SENT,
        NOTIFICATION_FANOUT,
        "notification-group.failures",
    ]
    assert [t.name for t in topology.topics_of("activity-processor")] == [
        USER_ACTIVITY,
        "activity-group.failures",
        CHANGELOG,
    ]
    assert [t.name for t in topology.topics_of("web-service")] == [USER_ACTIVITY]


def test_all_that_services_need_is_declared():
    """No service needs a topic that ``apply`` would not create."""
    topology = Topology("shop")
    declared = {t.name for t in topology.topics()}

    for service in topology.services:
        assert {t.name for t in topology.topics_of(service.name)} <= declared
