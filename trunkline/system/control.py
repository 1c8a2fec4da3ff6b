"""Order pauses and drains: what the command line and the console call.

The orders go to ``trunkline.control``; the pods carry them out within a second or so, and say in
their reports that they did.
"""

from __future__ import annotations

import asyncio
import difflib
import time
from collections.abc import Iterable
from dataclasses import dataclass

import msgspec

from trunkline.connection import KafkaConnection
from trunkline.dead_letters.snapshot import Snapshot
from trunkline.delivery.producer import OutRecord, RecordProducer
from trunkline.errors import ConfigurationError, TopologyError
from trunkline.system.brokers import groups_of
from trunkline.system.orders import DrainKey, Key, Order, Orders, PauseKey, encode_key, encode_order
from trunkline.system.report import REPORT_S, STALE_S, WorkerReport
from trunkline.system.workers import Workers
from trunkline.topics.cluster import Cluster
from trunkline.topology import Topology

_CLIENT = "trunkline-control"


@dataclass(frozen=True)
class Outcome:
    """What an order changed.

    Attributes:
        changed: What is different now, in words: ``auth.registered[0] of engine-group``.
        unchanged: What was so already.

    """

    changed: tuple[str, ...] = ()
    unchanged: tuple[str, ...] = ()


async def read_orders(connection: KafkaConnection, topology: Topology) -> Orders:
    """Return the orders that hold now.

    Raises:
        BrokerError: Kafka is away.
        TopologyError: The topic does not exist.

    """
    orders = Orders()
    for record in await _read(connection, topology.control_topic().name):
        try:
            orders.take(record)
        except (ValueError, msgspec.MsgspecError, RecursionError):
            continue  # a stranger's; the pods log it
    return orders


async def read_workers(connection: KafkaConnection, topology: Topology) -> Workers:
    """Return the pods as they reported last.

    Raises:
        BrokerError: Kafka is away.
        TopologyError: The topic does not exist.

    """
    workers = Workers()
    for record in await _read(connection, topology.workers_topic().name):
        try:
            workers.take(record)
        except (ValueError, msgspec.MsgspecError, RecursionError):
            continue  # a stranger's; whoever follows the topic logs it
    return workers


def pause_key(topology: Topology, group: str, topic: str, partition: int | None) -> PauseKey:
    """Return what a pause of it is called.

    Args:
        topology: Which groups and topics there are.
        group: Plain or real name.
        topic: Plain or real name.
        partition: None for all of them; whether there is such a one is not asked.

    Raises:
        ConfigurationError: There is no such group, or it does not read the topic.

    """
    groups = groups_of(topology)
    real = topology.real_name(topology.plain_name(group))
    if real not in groups:
        plain = [topology.plain_name(name) for name in groups]
        raise ConfigurationError(f"Unknown group {group!r}. {_hint(group, plain)}")
    name = topology.real_name(topology.plain_name(topic))
    if name not in groups[real]:
        plain = [topology.plain_name(each) for each in groups[real]]
        raise ConfigurationError(f"{group} does not read {topic!r}. {_hint(topic, plain)}")
    return PauseKey(real, name, partition)


async def pause(
    connection: KafkaConnection,
    topology: Topology,
    group: str,
    topic: str,
    partition: int | None = None,
    *,
    who: str,
) -> Outcome:
    """Let a group handle nothing more of a topic, or of one partition, until it is resumed.

    What runs ends. Nothing is lost: what is not handled is not committed. Failed events of it are
    not tried again meanwhile.

    Args:
        connection: How to reach Kafka.
        topology: Which groups and topics there are.
        group: Plain or real name.
        topic: Plain or real name.
        partition: None for all of them.
        who: Who orders it, for the record.

    Raises:
        ConfigurationError: There is no such group, it does not read the topic, or the topic has no
            such partition.
        BrokerError: Kafka is away.

    """
    key = pause_key(topology, group, topic, partition)
    await _require_partition(connection, key)
    orders = await read_orders(connection, topology)
    if key in orders.pauses or key._replace(partition=None) in orders.pauses:
        return Outcome(unchanged=(str(key),))
    await _send(connection, topology, {key: _order(who)})
    return Outcome(changed=(str(key),))


async def resume(
    connection: KafkaConnection,
    topology: Topology,
    group: str,
    topic: str,
    partition: int | None = None,
    *,
    who: str,
) -> Outcome:
    """Let a group go on with a topic and all its partitions, or with one partition.

    Args:
        connection: How to reach Kafka.
        topology: Which groups and topics there are.
        group: Plain or real name.
        topic: Plain or real name.
        partition: None for the topic and whatever of its partitions is paused by itself.
        who: Who orders it; Kafka keeps no more of it than that the pause is gone.

    Raises:
        ConfigurationError: As for :func:`pause`; or one partition is to go on while the whole topic
            is paused.
        BrokerError: Kafka is away.

    """
    key = pause_key(topology, group, topic, partition)
    orders = await read_orders(connection, topology)
    whole = key._replace(partition=None)
    if partition is not None and whole in orders.pauses:
        raise ConfigurationError(
            f"The whole of {whole} is paused, not the partition: resume the topic, and pause the "
            "partitions that are to wait."
        )
    found = [
        paused
        for paused in orders.pauses
        if paused == key or (partition is None and paused._replace(partition=None) == whole)
    ]
    if not found:
        return Outcome(unchanged=(str(key),))
    await _send(connection, topology, dict.fromkeys(found))
    return Outcome(changed=tuple(map(str, found)))


async def drain(
    connection: KafkaConnection,
    topology: Topology,
    pod: str,
    *,
    who: str,
    incarnation: str | None = None,
) -> Outcome:
    """Have a pod give its partitions to the others of its group, and wait.

    Args:
        connection: How to reach Kafka.
        topology: Where the pods report.
        pod: Its name.
        who: Who orders it, for the record.
        incarnation: Of its reports: the process that is meant; None for the one that reports now.

    Raises:
        ConfigurationError: No such pod reports, it has no group, or it was restarted since.
        BrokerError: Kafka is away.

    """
    report = await _running(connection, topology, pod)
    if not report.consumes:
        raise ConfigurationError(
            f"{pod} is in no group: there is nothing to drain. Stop it with SIGTERM instead."
        )
    if incarnation is not None and incarnation != report.incarnation:
        raise ConfigurationError(f"{pod} was restarted meanwhile: look at it again.")
    orders = await read_orders(connection, topology)
    if orders.drains_pod(pod, report.incarnation):
        return Outcome(unchanged=(pod,))
    await _send(connection, topology, {DrainKey(pod): _order(who, report.incarnation)})
    return Outcome(changed=(pod,))


async def undrain(
    connection: KafkaConnection, topology: Topology, pod: str, *, who: str
) -> Outcome:
    """Have a drained pod join its group again.

    Args:
        connection: How to reach Kafka.
        topology: Where the pods report.
        pod: Its name.
        who: Who orders it; Kafka keeps no more of it than that the drain is gone.

    Raises:
        BrokerError: Kafka is away.

    """
    orders = await read_orders(connection, topology)
    if pod not in orders.drains:
        return Outcome(unchanged=(pod,))
    await _send(connection, topology, {DrainKey(pod): None})
    return Outcome(changed=(pod,))


async def _require_partition(connection: KafkaConnection, key: PauseKey) -> None:
    if key.partition is None:
        return
    async with Cluster(connection) as cluster:
        view = await cluster.read([key.topic])
    found = view.topics.get(key.topic)
    if found is not None and not 0 <= key.partition < found.partitions:
        raise ConfigurationError(
            f"{key.topic} has no partition {key.partition}: they are 0 to {found.partitions - 1}."
        )


async def _running(connection: KafkaConnection, topology: Topology, pod: str) -> WorkerReport:
    workers = await read_workers(connection, topology)
    worker = workers.get(pod)
    if worker is None:
        known = [each.report.pod for each in workers.all()]
        raise ConfigurationError(f"No pod {pod!r} reports. {_hint(pod, known)}")
    age_s = worker.age_s(time.time())
    if age_s > STALE_S and not await _goes_on(connection, topology, worker.report):
        raise ConfigurationError(f"{pod} has not reported for {age_s:.0f} s: it may be gone.")
    return worker.report


async def _goes_on(connection: KafkaConnection, topology: Topology, last: WorkerReport) -> bool:
    """Tell whether a pod reports whose last report looks old: its clock may be behind ours."""
    await asyncio.sleep(1.5 * REPORT_S)
    worker = (await read_workers(connection, topology)).get(last.pod)
    return worker is not None and worker.report.at_ms > last.at_ms


async def _read(connection: KafkaConnection, topic: str) -> list[object]:
    async with Snapshot(connection, [topic], client_id=_CLIENT) as snapshot:
        if not snapshot.found:
            raise TopologyError(
                f"There is no topic {topic} in this cluster: create it with 'trunkline topics "
                "apply', and check TRUNKLINE_NAMESPACE."
            )
        return [record async for records in snapshot.batches() for record in records]


async def _send(
    connection: KafkaConnection, topology: Topology, orders: dict[Key, Order | None]
) -> None:
    topic = topology.control_topic().name
    producer = RecordProducer(connection, _CLIENT)
    await producer.start()
    try:
        await producer.send_many(
            [
                OutRecord(
                    topic, None if order is None else encode_order(order), key=encode_key(key)
                )
                for key, order in orders.items()
            ]
        )
    finally:
        await producer.stop()


def _order(who: str, incarnation: str = "") -> Order:
    return Order(who=who, at_ms=int(time.time() * 1000), incarnation=incarnation)


def _hint(name: str, known: Iterable[str]) -> str:
    names = sorted(known)
    close = difflib.get_close_matches(name, names, n=1)
    if close:
        return f"Did you mean {close[0]!r}?"
    return f"Known: {', '.join(names)}." if names else "There are none."
