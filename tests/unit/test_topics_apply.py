"""The order and the patience of apply, on a cluster made of a dictionary."""

from __future__ import annotations

from dataclasses import replace

import pytest

from trunkline.connection import KafkaConnection
from trunkline.errors import TopologyError
from trunkline.topics import administration, apply
from trunkline.topics.comparison import wanted_configs
from trunkline.topics.view import ClusterTopic, ClusterView
from trunkline.topology import USER_ACTIVITY, Topology

TOPOLOGY = Topology("shop")
ACTIVITY = TOPOLOGY.real_name(USER_ACTIVITY)
CHANGELOG = "shop.activity-group-activity-counts-changelog"
ORDERS = "shop.order.created"
FAILURES = "shop.engine-group.failures"
NOWHERE = KafkaConnection(())
RETRIES = "shop.engine-group-retries-changelog"


class FakeCluster:
    """Takes every change at once, and shows it only after ``lag`` more readings."""

    def __init__(self, lag=0, **changes):
        self.topics = {
            t.name: ClusterTopic(t.name, t.partitions, 1, wanted_configs(t, 1))
            for t in TOPOLOGY.topics()
        }
        for name, change in changes.items():
            self.topics[name] = replace(self.topics[name], **change)
        self.shown = dict(self.topics)
        self.lag = lag
        self.readings = 0
        self.grown = []

    def __call__(self, connection):
        return self

    async def __aenter__(self):
        return self

    async def __aexit__(self, *error):
        pass

    async def read(self, names):
        return ClusterView(1, self.shown)

    async def read_everywhere(self, names):
        self.readings += 1
        if self.readings > self.lag:
            self.shown = dict(self.topics)
        return [ClusterView(1, self.topics), ClusterView(1, self.shown)]

    async def set_configs(self, topics):
        for topic in topics:
            is_now = self.topics[topic.name]
            configs = {**is_now.configs, **topic.altered_configs}
            self.topics[topic.name] = replace(is_now, configs=configs)

    async def grow(self, topics):
        for topic in topics:
            self.grown.append(topic.name)
            is_now = self.topics[topic.name]
            self.topics[topic.name] = replace(is_now, partitions=topic.partitions)


@pytest.fixture
def cluster_with(monkeypatch):
    """Return a function that puts a cluster with these differences in place of Kafka."""

    def put(**options):
        cluster = FakeCluster(**options)
        monkeypatch.setattr(administration, "Cluster", cluster)
        monkeypatch.setattr(administration, "SETTLE_TIMEOUT_S", 0.5)
        return cluster

    return put


async def test_returns_only_when_every_broker_shows_the_change(cluster_with):
    """Brokers hear of a change one after the other; the slowest counts."""
    cluster = cluster_with(lag=3, **{ORDERS: {"configs": {}}})

    applied = await apply(NOWHERE, TOPOLOGY)

    assert cluster.readings == 4
    assert all(d.done for t in applied.topics for d in t.differences)


async def test_says_when_a_change_does_not_show(cluster_with):
    """It ends with the topic's name instead of waiting for ever."""
    cluster_with(lag=10_000, **{ORDERS: {"configs": {}}})

    with pytest.raises(TopologyError, match=rf"does not show them after 0\.5 s: {ORDERS}\."):
        await apply(NOWHERE, TOPOLOGY)


async def test_grows_a_changelog_before_its_source(cluster_with):
    """A running worker must never see a source partition that its table has no changelog for."""
    cluster = cluster_with(**{ACTIVITY: {"partitions": 1}, CHANGELOG: {"partitions": 1}})

    await apply(NOWHERE, TOPOLOGY, grow=True)

    assert cluster.grown == [CHANGELOG, ACTIVITY]


async def test_grows_a_retries_changelog_before_its_failures_topic(cluster_with):
    """A worker that gets a new failures partition finds the table's partition there."""
    cluster = cluster_with(**{FAILURES: {"partitions": 1}, RETRIES: {"partitions": 1}})

    await apply(NOWHERE, TOPOLOGY, grow=True)

    assert cluster.grown == [RETRIES, FAILURES]


async def test_setting_back_a_topic_does_not_grow_it(cluster_with):
    """A topic may lack both settings and partitions: growth still needs the request."""
    cluster = cluster_with(**{ORDERS: {"configs": {}, "partitions": 1}})

    applied = await apply(NOWHERE, TOPOLOGY)

    assert cluster.grown == []
    assert [t.name for t in applied.left_out] == [ORDERS]
