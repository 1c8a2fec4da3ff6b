"""Records as other clients may write them: what aiokafka's own producer refuses to send."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from aiokafka import TopicPartition
from aiokafka.client import AIOKafkaClient
from aiokafka.errors import NotLeaderForPartitionError, for_code
from aiokafka.protocol.produce import ProduceRequest
from aiokafka.record.default_records import _DefaultRecordBatchBuilderPy

from tests.support.waiting import eventually

_NO_LIMIT = 2**30


class ForeignRecord(NamedTuple):
    """A record whose header names are bytes, in UTF-8 or not, as librdkafka sends them."""

    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[bytes, bytes | None]] = ()


class _RawName(str):
    """A header name that "encodes" to the bytes that it is made of."""

    __slots__ = ()

    def encode(self, encoding: str = "utf-8", errors: str = "strict") -> bytes:
        return super().encode("latin-1")


def batch_of(records: Sequence[ForeignRecord], codec: int = 0) -> bytes:
    """Return the records as one record batch (magic 2)."""
    builder = _DefaultRecordBatchBuilderPy(2, codec, 0, -1, -1, -1, _NO_LIMIT)
    for offset, record in enumerate(records):
        headers = [(_RawName(name.decode("latin-1")), value) for name, value in record.headers]
        builder.append(offset, None, record.key, record.value, headers)
    return bytes(builder.build())


async def send_batch(servers: str, topic: str, partition: int, batch: bytes) -> int:
    """Send a record batch as it is; return the offset of its first record."""
    client = AIOKafkaClient(bootstrap_servers=servers)
    await client.bootstrap()
    request = ProduceRequest(
        transactional_id=None,
        required_acks=-1,
        timeout=10_000,
        topics=[(topic, [(partition, batch)])],
    )
    offsets: list[int] = []

    async def sent() -> bool:
        await client.force_metadata_update()
        leader = client.cluster.leader_for_partition(TopicPartition(topic, partition))
        response = await client.send(leader, request)
        [(_, [(_, code, offset, *_)])] = response.topics
        offsets.append(offset)
        if code == NotLeaderForPartitionError.errno:  # a topic's first moments
            return False
        if code:
            raise for_code(code)
        return True

    try:
        await client.add_topic(topic)
        await eventually(sent, what=f"the leader of {topic}")
    finally:
        await client.close()
    return offsets[-1]
