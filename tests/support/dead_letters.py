"""Dead letters as tests need them: records of ``dlq.*`` topics, ours and foreign ones."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import NamedTuple

from aiokafka import AIOKafkaProducer

from trunkline.dead_letters.reading import DeadLetter, read_dead_letter
from trunkline.delivery import failure

Header = tuple[str, bytes | None]


class Record(NamedTuple):
    """What aiokafka's records are to us."""

    topic: str = "dlq.order.created"
    partition: int = 1
    offset: int = 17
    timestamp: int = 1_700_000_000_000
    key: bytes | None = b"12345"
    value: bytes | None = b'{"orderId":"o-1"}'
    headers: Sequence[Header] = ()


TRACEBACK = """Traceback (most recent call last):
  File "/srv/app/trunkline/delivery/chain.py", line 88, in each
    await handle(event)
  File "/srv/app/agents/engine.py", line 31, in add_up
    raise ValueError(event.order_id)
ValueError: o-1
"""


def trunkline_headers(
    *,
    group: str = "engine-group",
    topic: str = "order.created",
    place: tuple[int, int, int] = (1, 42, 1_700_000_000_000),
    exception: str = "builtins.ValueError",
    message: str = "o-1",
    stacktrace: str = TRACEBACK,
    kind: str = "transient",
    redrives: int = 0,
) -> list[Header]:
    """Return the headers that the dead_letters agent puts behind an event's own."""
    partition, offset, timestamp_ms = place
    headers = {
        failure.EXCEPTION: exception,
        failure.MESSAGE: message,
        failure.STACKTRACE: stacktrace,
        failure.TOPIC: topic,
        failure.PARTITION: str(partition),
        failure.OFFSET: str(offset),
        failure.GROUP: group,
        failure.KIND: kind,
        failure.ATTEMPTS: "4",
        failure.TIMESTAMP_MS: str(timestamp_ms),
        failure.FIRST_FAILED_AT_MS: "1700000001000",
    }
    if redrives:
        headers[failure.REDRIVES] = str(redrives)
    return [(name, value.encode()) for name, value in headers.items()]


def dead_letter(headers: Sequence[Header] | None = None, **fields) -> DeadLetter:
    """Read a dead letter with these headers, by default ours."""
    return read_dead_letter(
        Record(headers=trunkline_headers() if headers is None else headers, **fields)
    )


def int32(number: int) -> bytes:
    """Return a number as Java's ``ByteBuffer.putInt`` writes it."""
    return number.to_bytes(4, "big", signed=True)


def int64(number: int) -> bytes:
    """Return a number as Java's ``ByteBuffer.putLong`` writes it."""
    return number.to_bytes(8, "big", signed=True)


SPRING: list[Header] = [
    ("kafka_dlt-original-topic", b"order.created"),
    ("kafka_dlt-original-partition", int32(3)),
    ("kafka_dlt-original-offset", int64(2**40 + 7)),
    ("kafka_dlt-original-timestamp", int64(1_700_000_000_123)),
    ("kafka_dlt-original-timestamp-type", b"CreateTime"),
    ("kafka_dlt-original-consumer-group", b"billing"),
    (
        "kafka_dlt-exception-fqcn",
        b"org.springframework.kafka.listener.ListenerExecutionFailedException",
    ),
    ("kafka_dlt-exception-cause-fqcn", b"java.lang.IllegalStateException"),
    ("kafka_dlt-exception-message", b"Listener failed; no stock"),
    (
        "kafka_dlt-exception-stacktrace",
        (
            b"org.springframework.kafka.listener.ListenerExecutionFailedException: failed\n"
            b"\tat org.springframework.kafka.listener.Adapter.invoke(Adapter.java:380)\n"
            b"Caused by: java.lang.IllegalStateException: no stock\n"
            b"\tat com.shop.Stock$$SpringCGLIB$$0.take(Stock.java:17)\n"
            b"\tat com.shop.Orders.lambda$on$3(Orders.java:90)\n\t... 12 more\n"
        ),
    ),
]

CONNECT: list[Header] = [
    ("__connect.errors.topic", b"order.created"),
    ("__connect.errors.partition", b"2"),
    ("__connect.errors.offset", b"200"),
    ("__connect.errors.connector.name", b"jdbc-sink"),
    ("__connect.errors.task.id", b"0"),
    ("__connect.errors.stage", b"VALUE_CONVERTER"),
    ("__connect.errors.class.name", b"org.apache.kafka.connect.json.JsonConverter"),
    ("__connect.errors.exception.class.name", b"org.apache.kafka.connect.errors.DataException"),
    ("__connect.errors.exception.message", b"Converting byte[] failed"),
    (
        "__connect.errors.exception.stacktrace",
        (
            b"org.apache.kafka.connect.errors.DataException: Converting byte[] failed\n"
            b"\tat org.apache.kafka.connect.json.JsonConverter.toConnectData(Json.java:3)\n"
        ),
    ),
]

SHARE_GROUP: list[Header] = [
    ("__dlq.errors.topic", b"order.created"),
    ("__dlq.errors.partition", b"0"),
    ("__dlq.errors.offset", b"9"),
    ("__dlq.errors.group", b"picking"),
    ("__dlq.errors.delivery.count", b"5"),
    ("__dlq.errors.message", b"Offset rejected by client."),
]

STREAMS: list[Header] = [
    (
        "__streams.errors.exception",
        b"org.apache.kafka.common.errors.SerializationException: Size is not 4",
    ),
    ("__streams.errors.message", b"Size is not 4"),
    (
        "__streams.errors.stacktrace",
        (
            b"org.apache.kafka.common.errors.SerializationException: Size is not 4\n"
            b"\tat org.apache.kafka.common.serialization.IntegerDeserializer.deserialize"
            b"(IntegerDeserializer.java:30)\n"
        ),
    ),
    ("__streams.errors.topic", b"order.created"),
    ("__streams.errors.partition", b"1"),
    ("__streams.errors.offset", b"77"),
]


async def put_letters(bootstrap: str, records: Sequence[Record]) -> None:
    """Write records as they are, each to its partition; returns when all are acknowledged."""
    async with AIOKafkaProducer(
        bootstrap_servers=bootstrap, acks="all", linger_ms=5, max_request_size=2_000_000
    ) as producer:
        waiting = [
            await producer.send(
                record.topic,
                value=record.value,
                key=record.key,
                partition=record.partition,
                timestamp_ms=record.timestamp,
                headers=list(record.headers),
            )
            for record in records
        ]
        await asyncio.gather(*waiting)
