"""Ask for a topic's id: Kafka gives one to every topic that is made (KIP-516).

So it tells a topic from one of the same name that was deleted and made anew. aiokafka 0.14 asks for
metadata in version 5, and ids come with version 10; field by field from ``MetadataRequest.json``.
"""

from __future__ import annotations

from typing import Any

from aiokafka.errors import IncompatibleBrokerVersion, for_code
from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.types import (
    Boolean,
    CompactArray,
    CompactString,
    Int16,
    Int32,
    Int64,
    Schema,
    TaggedFields,
)


class MetadataResponseWithIds(Response):  # type: ignore[misc]  # aiokafka: untyped
    """Version 12: brokers, and for each topic its error code, name, id and partitions."""

    API_KEY = 3
    API_VERSION = 12
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        (
            "brokers",
            CompactArray(
                ("node_id", Int32),
                ("host", CompactString("utf-8")),
                ("port", Int32),
                ("rack", CompactString("utf-8")),
                ("tags", TaggedFields),
            ),
        ),
        ("cluster_id", CompactString("utf-8")),
        ("controller_id", Int32),
        (
            "topics",
            CompactArray(
                ("error_code", Int16),
                ("name", CompactString("utf-8")),
                ("topic_id_high", Int64),
                ("topic_id_low", Int64),
                ("is_internal", Boolean),
                (
                    "partitions",
                    CompactArray(
                        ("error_code", Int16),
                        ("partition", Int32),
                        ("leader", Int32),
                        ("leader_epoch", Int32),
                        ("replicas", CompactArray(Int32)),
                        ("isr", CompactArray(Int32)),
                        ("offline_replicas", CompactArray(Int32)),
                        ("tags", TaggedFields),
                    ),
                ),
                ("authorized_operations", Int32),
                ("tags", TaggedFields),
            ),
        ),
        ("tags", TaggedFields),
    )


class MetadataRequestWithIds(RequestStruct):  # type: ignore[misc]  # aiokafka: untyped
    """Version 12; a topic is asked for by its name, the id is left at 0."""

    FLEXIBLE_VERSION = True
    API_KEY = 3
    API_VERSION = 12
    RESPONSE_TYPE = MetadataResponseWithIds
    SCHEMA = Schema(
        (
            "topics",
            CompactArray(
                ("topic_id_high", Int64),
                ("topic_id_low", Int64),
                ("name", CompactString("utf-8")),
                ("tags", TaggedFields),
            ),
        ),
        ("allow_auto_topic_creation", Boolean),
        ("include_topic_authorized_operations", Boolean),
        ("tags", TaggedFields),
    )


class TopicIdRequest(
    Request[MetadataRequestWithIds]  # type: ignore[misc]  # aiokafka: untyped
):
    """Ask for one topic, without creating it."""

    API_KEY = 3

    def __init__(self, topic: str) -> None:
        self._topic = topic

    def build(self, request_struct_class: Any) -> Any:
        """Return the request in the one version that is known here."""
        return request_struct_class([(0, 0, self._topic, {})], False, False, {})


async def topic_id(client: Any, topic: str) -> str:
    """Return a topic's id in hexadecimal digits; empty when the brokers are too old to tell.

    Args:
        client: A bootstrapped ``AIOKafkaClient``.
        topic: Real name of the topic.

    Raises:
        KafkaError: The broker is away, or there is no such topic.

    """
    try:
        response = await client.send(client.get_random_node(), TopicIdRequest(topic))
    except (IncompatibleBrokerVersion, NotImplementedError):
        return ""
    error_code, _, high, low, *_ = response.topics[0]
    if error_code:
        raise for_code(error_code)(topic)
    return f"{high & _MASK:016x}{low & _MASK:016x}"


_MASK = 2**64 - 1
