"""Plan, apply and check on a real Kafka."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace

import pytest
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from trunkline.connection import KafkaConnection
from trunkline.errors import TopologyError
from trunkline.topics import apply, check_service_topics, plan
from trunkline.topics.administration import read_topics
from trunkline.topics.cluster import Cluster
from trunkline.topics.comparison import plan_topics
from trunkline.topics.difference import Difference
from trunkline.topology import TOPICS, USER_ACTIVITY, Topic, Topology

pytestmark = pytest.mark.kafka


def small(namespace, partitions=2, **changes):
    """Return a topology of one service: its topic, its dead letters, its group's topics."""
    (service,) = [s for s in Topology().services if s.name == "activity-processor"]
    activity = next(t for t in TOPICS if t.name == USER_ACTIVITY)
    return Topology(
        namespace,
        services=(service,),
        declared_topics=(replace(activity, partitions=partitions, **changes),),
    )


def activity_of(topology):
    return topology.topic(USER_ACTIVITY).name


def dead_letters_of(topology):
    return topology.dead_letters_topic(USER_ACTIVITY).name


def changelog_of(topology):
    return topology.changelogs("activity-processor")[0].name


async def partitions_of(kafka, topology):
    view = await read_topics(KafkaConnection.plaintext(kafka), topology)
    return {topology.plain_name(t.name): t.partitions for t in view.topics.values()}


async def set_config(kafka, topology, name, **configs):
    """Change settings behind the topology's back, and wait until they are seen."""
    async with Cluster(KafkaConnection.plaintext(kafka)) as cluster:
        view = await cluster.read([name])
        drift = tuple(
            Difference(key.replace("_", "."), "", value, "alter") for key, value in configs.items()
        )
        (topic,) = (t for t in plan_topics(topology, view).topics if t.name == name)
        await cluster.set_configs([replace(topic, differences=drift)])
    wanted = {(key.replace("_", "."), value) for key, value in configs.items()}
    await until(lambda: config_of(kafka, name), lambda found: found >= wanted)


async def create(kafka, topic: Topic, **configs):
    """Create a topic as a stranger would, and wait until it is seen."""
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka)
    await admin.start()
    try:
        await admin.create_topics([NewTopic(topic.name, topic.partitions, 1, None, configs)])
        await until(admin.list_topics, lambda names: topic.name in names)
    finally:
        await admin.close()


async def until(ask, fits, within_s=10.0):
    """Ask until the answer fits; Kafka shows a change a moment after it took it."""
    deadline = time.monotonic() + within_s
    while not fits(answer := await ask()):
        assert time.monotonic() < deadline, answer
        await asyncio.sleep(0.02)


async def test_creates_every_declared_topic_and_then_has_nothing_to_do(kafka, namespace):
    """What apply makes is what plan wants, on the whole topology."""
    topology = Topology(namespace)
    before = await plan(KafkaConnection.plaintext(kafka), topology)

    applied = await apply(KafkaConnection.plaintext(kafka), topology)

    assert {t.action for t in before.topics} == {"create"}
    assert all(t.created for t in applied.topics)
    assert (await plan(KafkaConnection.plaintext(kafka), topology)).nothing_to_do
    assert await partitions_of(kafka, topology) == {
        topology.plain_name(t.name): t.partitions for t in topology.topics()
    }
    for service in topology.services:
        await check_service_topics(KafkaConnection.plaintext(kafka), topology, service.name)


async def test_planning_creates_nothing(kafka, namespace):
    """Kafka creates topics that a careless client asks about."""
    topology = small(namespace)

    await plan(KafkaConnection.plaintext(kafka), topology)

    assert await partitions_of(kafka, topology) == {}


async def test_is_idempotent(kafka, namespace):
    """The second apply changes nothing and says so."""
    await apply(KafkaConnection.plaintext(kafka), small(namespace))

    assert (
        await apply(KafkaConnection.plaintext(kafka), small(namespace), grow=True)
    ).nothing_to_do


async def test_two_applies_at_once_agree(kafka, namespace):
    """Whoever is second reads again, and neither fails."""
    topology = small(namespace)

    plans = await asyncio.gather(
        *(apply(KafkaConnection.plaintext(kafka), topology) for _ in range(3))
    )

    assert all(t.created for p in plans for t in p.topics)
    assert (await plan(KafkaConnection.plaintext(kafka), topology)).nothing_to_do


async def test_two_growths_at_once_agree(kafka, namespace):
    """Adding partitions that another process added meanwhile is no error."""
    await apply(KafkaConnection.plaintext(kafka), small(namespace))
    grown = small(namespace, partitions=4)

    await asyncio.gather(
        *(apply(KafkaConnection.plaintext(kafka), grown, grow=True) for _ in range(3))
    )

    assert (await partitions_of(kafka, grown))[USER_ACTIVITY] == 4


async def test_grows_only_on_request(kafka, namespace):
    """Without the request the growth is left out; with it, the changelog goes along."""
    await apply(KafkaConnection.plaintext(kafka), small(namespace))
    grown = small(namespace, partitions=4)

    left_out = [t.name for t in (await apply(KafkaConnection.plaintext(kafka), grown)).left_out]
    unchanged = await partitions_of(kafka, grown)
    await apply(KafkaConnection.plaintext(kafka), grown, grow=True)

    assert left_out == [activity_of(grown), changelog_of(grown), dead_letters_of(grown)]
    assert unchanged[USER_ACTIVITY] == unchanged[f"dlq.{USER_ACTIVITY}"] == 2
    after = await partitions_of(kafka, grown)
    assert after[USER_ACTIVITY] == after[f"dlq.{USER_ACTIVITY}"] == 4
    assert (await plan(KafkaConnection.plaintext(kafka), grown)).nothing_to_do
    await check_service_topics(KafkaConnection.plaintext(kafka), grown, "activity-processor")


async def test_never_shrinks(kafka, namespace):
    """A topic with more partitions than declared stays as it is, and so does its changelog."""
    await apply(KafkaConnection.plaintext(kafka), small(namespace, partitions=3))
    smaller = small(namespace, partitions=2)

    applied = await apply(KafkaConnection.plaintext(kafka), smaller, grow=True)

    assert applied.nothing_to_do
    assert {d.action for t in applied.topics for d in t.differences} == {"keep"}
    assert (await partitions_of(kafka, smaller))[USER_ACTIVITY] == 3
    await check_service_topics(KafkaConnection.plaintext(kafka), smaller, "activity-processor")


async def test_refuses_to_shrink_a_changelog(kafka, namespace):
    """It has more partitions than its source: nothing of it is touched."""
    topology = small(namespace)
    name = changelog_of(topology)
    await create(kafka, Topic(name, partitions=5), **{"cleanup.policy": "compact"})

    applied = await apply(KafkaConnection.plaintext(kafka), topology, grow=True)

    assert applied.refused
    assert (await partitions_of(kafka, topology))[name.removeprefix(f"{namespace}.")] == 5
    with pytest.raises(TopologyError, match="5 partitions"):
        await check_service_topics(KafkaConnection.plaintext(kafka), topology, "activity-processor")


async def test_the_changelog_follows_a_source_that_somebody_grew(kafka, namespace):
    """The worker refuses to start on the mismatch until the changelog has grown too."""
    await apply(KafkaConnection.plaintext(kafka), small(namespace))
    await create(kafka, Topic(f"{namespace}.other", 1))  # strangers' topics do not matter
    async with Cluster(KafkaConnection.plaintext(kafka)) as cluster:
        grown = small(namespace, partitions=3)
        view = await cluster.read([activity_of(grown)])
        await cluster.grow([t for t in plan_topics(grown, view).topics if t.grows])
    await until(lambda: partitions_of(kafka, grown), lambda found: found[USER_ACTIVITY] == 3)

    topology = small(namespace)
    with pytest.raises(TopologyError, match=r"2 partitions, but its source(.|\n)*--grow$"):
        await check_service_topics(KafkaConnection.plaintext(kafka), topology, "activity-processor")
    await apply(KafkaConnection.plaintext(kafka), topology, grow=True)

    after = await partitions_of(kafka, topology)
    changelog = topology.plain_name(changelog_of(topology))
    assert after[USER_ACTIVITY] == after[changelog] == 3
    assert after[f"dlq.{USER_ACTIVITY}"] == 2  # as declared: dead letters go by their keys
    await check_service_topics(KafkaConnection.plaintext(kafka), topology, "activity-processor")


async def test_sets_back_what_drifted_and_leaves_other_settings_alone(kafka, namespace):
    """An operator's own setting survives; the declared ones are restored."""
    topology = small(namespace)
    await apply(KafkaConnection.plaintext(kafka), topology)
    name = changelog_of(topology)
    drift = {"cleanup_policy": "delete", "min_insync_replicas": "2", "segment_ms": "123456789"}
    await set_config(kafka, topology, name, **drift)

    with pytest.raises(TopologyError, match=r"cleanup\.policy is delete") as refused:
        await check_service_topics(KafkaConnection.plaintext(kafka), topology, "activity-processor")
    applied = await apply(KafkaConnection.plaintext(kafka), topology)

    assert "min.insync.replicas is 2" in str(refused.value)
    assert all(d.done for t in applied.topics for d in t.differences)
    assert await config_of(kafka, name) >= {
        ("cleanup.policy", "compact"),
        ("min.insync.replicas", "1"),
        ("segment.ms", "123456789"),
    }
    await check_service_topics(KafkaConnection.plaintext(kafka), topology, "activity-processor")


async def test_a_retries_changelog_follows_failures_that_somebody_grew(kafka, namespace):
    """The worker refuses to start on the mismatch until the changelog has grown too."""
    topology = small(namespace)
    await apply(KafkaConnection.plaintext(kafka), topology)
    failures = topology.failures_topic("activity-group").name
    changelog = topology.retries_changelog("activity-group").name
    async with Cluster(KafkaConnection.plaintext(kafka)) as cluster:
        view = await cluster.read([failures])
        (planned,) = (t for t in plan_topics(topology, view).topics if t.name == failures)
        grow = Difference("partitions", "3", "5", "grow")
        await cluster.grow([replace(planned, partitions=5, differences=(grow,))])
    plain = topology.plain_name(failures)
    await until(lambda: partitions_of(kafka, topology), lambda found: found[plain] == 5)

    with pytest.raises(TopologyError, match=rf"{changelog}: 3 partitions, but its source"):
        await check_service_topics(KafkaConnection.plaintext(kafka), topology, "activity-processor")
    await apply(KafkaConnection.plaintext(kafka), topology, grow=True)

    assert (await partitions_of(kafka, topology))[topology.plain_name(changelog)] == 5
    await check_service_topics(KafkaConnection.plaintext(kafka), topology, "activity-processor")


async def test_kafka_keeps_dead_letters_and_what_was_done_with_them(kafka, namespace):
    """The settings are there, not just planned: nothing expires, and actions are compacted."""
    topology = Topology(namespace)
    await apply(KafkaConnection.plaintext(kafka), topology)

    letters = await config_of(kafka, topology.dead_letters_topic("order.created").name)
    actions = await config_of(kafka, topology.dead_letter_actions_topic().name)
    held_keys = await config_of(kafka, topology.held_keys_topic("engine-group").name)

    assert letters >= {("retention.ms", "-1"), ("cleanup.policy", "delete")}
    assert actions >= {("retention.ms", "-1"), ("cleanup.policy", "compact")}
    assert held_keys >= {("retention.ms", "-1"), ("cleanup.policy", "compact")}


async def test_one_server_that_answers_is_enough(kafka, namespace):
    """Of two addresses, nobody listens at one."""
    for _ in range(4):  # the order in which they are asked is random
        await plan(KafkaConnection.plaintext(f"127.0.0.1:1,{kafka}"), small(namespace))


async def test_says_what_kafka_refuses(kafka, namespace):
    """Kafka's own words, with the topic and what was tried."""
    topology = small(namespace, retention_ms=-5)

    with pytest.raises(TopologyError, match=f"refuses to create topic {activity_of(topology)}: "):
        await apply(KafkaConnection.plaintext(kafka), topology)


async def test_a_worker_is_told_about_missing_topics(kafka, namespace):
    """Every missing topic is listed, with the command that creates them."""
    topology = small(namespace)

    with pytest.raises(TopologyError) as refused:
        await check_service_topics(KafkaConnection.plaintext(kafka), topology, "activity-processor")

    assert str(refused.value).count("the topic is missing") == 8
    assert str(refused.value).endswith("Mend it: trunkline topics apply")


async def config_of(kafka, name):
    """Return the settings that were set on a topic itself."""
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka)
    await admin.start()
    try:
        (response,) = await admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, name)])
    finally:
        await admin.close()
    return {(entry[0], entry[1]) for entry in response.resources[0][4]}
