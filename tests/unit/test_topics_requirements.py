"""What a worker refuses to start on, without a cluster."""

from __future__ import annotations

from dataclasses import replace

import pytest

from trunkline.errors import TopologyError
from trunkline.topics.comparison import wanted_configs
from trunkline.topics.requirements import check_for_service
from trunkline.topics.view import ClusterTopic, ClusterView
from trunkline.topology import Topology

TOPOLOGY = Topology("shop")
ACTIVITY = "shop.user.activity"
CHANGELOG = "shop.activity-group-activity-counts-changelog"
ALL = {
    t.name: ClusterTopic(t.name, t.partitions, 1, wanted_configs(t, 1)) for t in TOPOLOGY.topics()
}


def check(service, topics=ALL, brokers=1):
    check_for_service(ClusterView(brokers, topics), TOPOLOGY, TOPOLOGY.service(service))


def changed(name, **changes):
    return {**ALL, name: replace(ALL[name], **changes)}


def with_config(name, key, value):
    return changed(name, configs={**ALL[name].configs, key: value})


@pytest.mark.parametrize("service", [s.name for s in TOPOLOGY.services])
def test_every_service_starts_on_what_is_declared(service):
    """A cluster that was applied is one to start on."""
    check(service)


def test_replicas_do_not_keep_a_worker_from_starting():
    """A cluster that grew to three brokers is for the operator to reassign."""
    check("engine", brokers=3)


@pytest.mark.parametrize(
    "name",
    [
        "shop.order.created",
        "shop.engine-group.failures",
        "shop.engine-group-retries-changelog",
        "shop.engine-group.held-keys",
        "shop.dlq.order.created",
    ],
)
def test_refuses_a_missing_topic(name):
    """What it reads, where failures go and are remembered, and where they end."""
    topics = {k: v for k, v in ALL.items() if k != name}

    with pytest.raises(TopologyError, match=rf"{name}: the topic is missing(.|\n)*topics apply$"):
        check("engine", topics)


@pytest.mark.parametrize("name", ["shop.dlq.user.activity", "shop.dlq-consumer-group.actions"])
def test_the_dlq_service_refuses_a_missing_topic(name):
    """Every topic's dead letters, and what was done with them."""
    topics = {k: v for k, v in ALL.items() if k != name}

    with pytest.raises(TopologyError, match=rf"{name}: the topic is missing"):
        check("dlq", topics)


def test_refuses_a_retries_changelog_that_is_not_in_step_with_the_failures():
    """A failures partition without a place to remember would stop in the middle of its work."""
    failures = changed("shop.engine-group.failures", partitions=5)

    with pytest.raises(TopologyError, match=r"engine-group-retries-changelog: 3 partitions, but"):
        check("engine", failures)


def test_another_services_topics_do_not_matter():
    """A service starts whatever is wrong with the others' topics."""
    own = ("shop.order.created", "shop.trunkline.workers")

    check("order-service", {name: ALL[name] for name in own})


def test_refuses_fewer_partitions_than_declared():
    """The message names the command that adds them."""
    with pytest.raises(TopologyError, match=r"2 partitions, declared are 4(.|\n)*apply --grow$"):
        check("engine", changed("shop.order.created", partitions=2))


def test_accepts_more_partitions_than_declared():
    """Somebody grew the topic."""
    check("engine", changed("shop.order.created", partitions=8))


def test_refuses_a_changelog_that_lags_behind_its_source():
    """Faust would stop with PartitionsMismatch in the middle of its start."""
    with pytest.raises(TopologyError, match=rf"{CHANGELOG}: 3 partitions(.|\n)*--grow$"):
        check("activity-processor", changed(ACTIVITY, partitions=6))


def test_a_changelog_that_is_too_large_has_no_command_that_mends_it():
    """The message says what to do by hand, and promises no command."""
    with pytest.raises(TopologyError, match=f"grow {ACTIVITY}, or delete it") as refused:
        check("activity-processor", changed(CHANGELOG, partitions=6))

    assert "Mend it" not in str(refused.value)


@pytest.mark.parametrize(
    ("name", "key", "value"),
    [
        (CHANGELOG, "cleanup.policy", "delete"),
        (CHANGELOG, "cleanup.policy", "compact,delete"),
        (ACTIVITY, "cleanup.policy", "compact"),
        (ACTIVITY, "min.insync.replicas", "2"),
        ("shop.activity-group.failures", "max.message.bytes", "1048588"),
        ("shop.activity-group-retries-changelog", "cleanup.policy", "delete"),
        ("shop.activity-group.held-keys", "cleanup.policy", "delete"),
        ("shop.dlq.user.activity", "cleanup.policy", "compact"),
        ("shop.dlq.user.activity", "max.message.bytes", "2097152"),
    ],
)
def test_refuses_a_setting_that_would_lose_or_block_events(name, key, value):
    """Each is named with its topic and the value that it has."""
    with pytest.raises(TopologyError, match=rf"{name}: {key} is {value}") as refused:
        check("activity-processor", with_config(name, key, value))

    assert str(refused.value).endswith("trunkline topics apply")


def test_ignores_a_different_retention():
    """That is for the plan to show; nothing breaks."""
    check("engine", with_config("shop.order.created", "retention.ms", "3600000"))


def test_lists_every_mismatch_at_once():
    """Nobody has to start a worker three times to learn three things."""
    topics = changed(ACTIVITY, partitions=1)
    del topics["shop.activity-group.failures"]

    with pytest.raises(TopologyError) as refused:
        check("activity-processor", topics)

    text = str(refused.value)
    assert text.count("\n  shop.") == 3
    assert text.endswith("Mend it: trunkline topics apply --grow")
