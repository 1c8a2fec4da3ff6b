"""A connection to the cluster for reading and changing topics, nothing else.

aiokafka's admin client is no help here: it asks for metadata in a way that creates the topics it
asks about, resets every setting it is not told, and returns some errors and raises others. So this
stands on ``AIOKafkaClient`` below it.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterable, Sequence
from types import TracebackType
from typing import Any

from aiokafka.client import AIOKafkaClient, CoordinationType
from aiokafka.errors import (
    IncompatibleBrokerVersion,
    KafkaError,
    TopicAuthorizationFailedError,
    for_code,
)
from aiokafka.protocol.admin import (
    CreatePartitionsRequest,
    CreateTopicsRequest,
    DescribeConfigsRequest,
)
from aiokafka.protocol.metadata import MetadataRequest

from trunkline.connection import KafkaConnection
from trunkline.errors import RefusedError, TopologyError
from trunkline.topics.connecting import check_addresses, no_answer, quiet_aiokafka
from trunkline.topics.difference import TopicPlan
from trunkline.topics.protocol import (
    TOPIC_RESOURCE,
    DescribeClusterRequest,
    IncrementalAlterConfigsRequest,
)
from trunkline.topics.view import CONFIGS, ClusterTopic, ClusterView

CONNECT_TIMEOUT_S = 3.0
READ_TIMEOUT_S = 3.0
CHANGE_TIMEOUT_S = 10.0

_NO_ANSWER = (KafkaError, OSError, TimeoutError)

_UNKNOWN_TOPIC = 3
#: Somebody else was quicker, or this broker has not heard yet: read again and see.
#: UNKNOWN_TOPIC, REQUEST_TIMED_OUT, TOPIC_ALREADY_EXISTS, INVALID_PARTITIONS, NOT_CONTROLLER.
_READ_AGAIN = frozenset({_UNKNOWN_TOPIC, 7, 36, 37, 41})
#: Error codes of a topic in the metadata of which its partitions are listed all the same.
_STILL_LISTED = frozenset({0, 5})


class Cluster:
    """The cluster's topics; use it with ``async with``.

    Raises:
        BrokerError: On entering, when no broker answers within a few seconds.
        ConfigurationError: On entering, when an address has no port number.

    """

    def __init__(self, connection: KafkaConnection) -> None:
        self._connection = connection

    async def __aenter__(self) -> Cluster:
        check_addresses(self._connection)
        for server in random.sample(self._connection.servers, len(self._connection.servers)):
            # One by one: aiokafka would wait a request's whole time for a server that hangs.
            self._client = AIOKafkaClient(
                **self._connection.at(server).options(),
                client_id="trunkline-topics",
                request_timeout_ms=int(CHANGE_TIMEOUT_S * 1000),
            )
            if await self._is_answered():
                return self
        raise await no_answer(self._connection)

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with quiet_aiokafka():
            await self._client.close()

    async def read(self, names: Sequence[str]) -> ClusterView:
        """Read the named topics, as one broker knows them; those that do not exist are left out.

        Raises:
            BrokerError: No broker answers any more.
            TopologyError: Kafka refuses to describe a topic.

        """
        for node in self._nodes():
            try:
                return await self._read_from(node, names)
            except _NO_ANSWER:
                continue  # this broker went away; another one may know
        raise await no_answer(self._connection)

    async def read_everywhere(self, names: Sequence[str]) -> list[ClusterView]:
        """Read the named topics from each broker that answers; at least one view is returned.

        Raises:
            BrokerError: No broker answers any more.
            TopologyError: Kafka refuses to describe a topic.

        """
        readings = (self._read_from(node, names) for node in self._nodes())
        views = []
        for outcome in await asyncio.gather(*readings, return_exceptions=True):
            if isinstance(outcome, ClusterView):
                views.append(outcome)
            elif not isinstance(outcome, _NO_ANSWER):
                raise outcome
        if not views:
            raise await no_answer(self._connection)
        return views

    async def create(self, topics: Sequence[TopicPlan]) -> None:
        """Create topics; one that exists already is left to the next reading.

        Raises:
            TopologyError: Kafka refuses.
            BrokerError: No broker answers.

        """
        request = CreateTopicsRequest(
            [
                (t.name, t.partitions, t.replication_factor, [], list(t.configs.items()))
                for t in topics
            ],
            int(CHANGE_TIMEOUT_S * 1000),
            False,
        )
        response = await self.send(request)
        for name, code, message in response.topic_errors:
            _raise_for("create", name, code, message)

    async def set_configs(self, topics: Sequence[TopicPlan]) -> None:
        """Set the settings that differ; all others of the topic stay as they are.

        Raises:
            TopologyError: Kafka refuses.
            BrokerError: No broker answers.

        """
        wanted = {topic.name: topic.altered_configs for topic in topics}
        response = await self.send(IncrementalAlterConfigsRequest(wanted))
        for code, message, _, name in response.resources:
            _raise_for("change the settings of", name, code, message)

    async def grow(self, topics: Sequence[TopicPlan]) -> None:
        """Add partitions up to the planned count; more than that is left to the next reading.

        Raises:
            TopologyError: Kafka refuses.
            BrokerError: No broker answers.

        """
        request = CreatePartitionsRequest(
            [(topic.name, (topic.partitions, None)) for topic in topics],
            int(CHANGE_TIMEOUT_S * 1000),
            False,
        )
        response = await self.send(request)
        for name, code, message in response.topic_errors:
            _raise_for("add partitions to", name, code, message)

    async def ask_coordinator(self, group: str, request: Any) -> Any:
        """Send a request to the coordinator of a group, which alone knows of it.

        Raises:
            KafkaError: There is none at the moment, or this client may not know it.
            TimeoutError: It does not answer.

        """
        with quiet_aiokafka():
            async with asyncio.timeout(READ_TIMEOUT_S):
                node = await self._client.coordinator_lookup(CoordinationType.GROUP, group)
        return await self._ask(node, request)

    async def _is_answered(self) -> bool:
        connected = False
        try:
            with quiet_aiokafka():
                async with asyncio.timeout(CONNECT_TIMEOUT_S):
                    await self._client.bootstrap()
            connected = True
        except _NO_ANSWER:
            pass  # the caller tries the next server, and says why none of them answered
        finally:
            if not connected:
                await self._client.close()
        return connected

    def _nodes(self) -> list[int]:
        """Return the ids of the brokers that are up, the first one to ask first."""
        nodes = [broker.nodeId for broker in self._client.cluster.brokers()]
        random.shuffle(nodes)
        return nodes

    async def send(self, request: Any) -> Any:
        """Send a change to any broker that answers; it forwards it to the controller.

        Raises:
            BrokerError: No broker answers.

        """
        for node in self._nodes():
            try:
                return await self._ask(node, request, CHANGE_TIMEOUT_S)
            except _NO_ANSWER:
                continue  # changes are idempotent together with the reading that follows
        raise await no_answer(self._connection)

    async def _ask(self, node: int, request: Any, timeout_s: float = READ_TIMEOUT_S) -> Any:
        with quiet_aiokafka():
            async with asyncio.timeout(timeout_s):
                return await self._client.send(node, request)

    async def _read_from(self, node: int, names: Sequence[str]) -> ClusterView:
        # The flag matters: without it the broker creates every topic that it is asked about.
        metadata = await self._ask(node, MetadataRequest(list(names), False))
        sizes = dict(_sizes(metadata.topics))
        configs = await self._configs(node, list(sizes)) if sizes else {}
        topics = {
            name: ClusterTopic(name, partitions, copies, configs[name])
            for name, (partitions, copies) in sizes.items()
            if name in configs
        }
        return ClusterView(await self._count_brokers(node, len(metadata.brokers)), topics)

    async def _configs(self, node: int, names: list[str]) -> dict[str, dict[str, str]]:
        request = DescribeConfigsRequest([(TOPIC_RESOURCE, name, list(CONFIGS)) for name in names])
        response = await self._ask(node, request)
        found = {}
        for code, message, _, name, entries in response.resources:
            if code != _UNKNOWN_TOPIC:  # deleted since the metadata was read
                _raise_for("describe", name, code, message)
                found[name] = {entry[0]: entry[1] for entry in entries}
        return found

    async def _count_brokers(self, node: int, alive: int) -> int:
        """Count brokers that are down as well, else an outage would lower the replication."""
        try:
            response = await self._ask(node, DescribeClusterRequest())
        except (IncompatibleBrokerVersion, NotImplementedError):  # older than Kafka 4.0
            return alive
        return alive if response.error_code else len(response.brokers)


def _sizes(topics: Iterable[Any]) -> Iterable[tuple[str, tuple[int, int]]]:
    """Yield the partition count and the replication factor of each topic that exists."""
    for code, name, _, partitions in topics:
        if code == _UNKNOWN_TOPIC:
            continue
        if code not in _STILL_LISTED:
            _raise_for("describe", name, code, None)
        if partitions:
            yield (
                name,
                (len(partitions), min(len(replicas) for _, _, _, replicas, *_ in partitions)),
            )


def _raise_for(what: str, topic: str, code: int, message: str | None) -> None:
    if code == 0 or code in _READ_AGAIN:
        return
    error = for_code(code)
    reason = f"{error.message}: {message or error.description}"
    text = f"Kafka refuses to {what} topic {topic}: {reason}"
    if error is TopicAuthorizationFailedError:
        raise RefusedError(f"{text}; see what this user needs: trunkline topics acls")
    raise TopologyError(text)
