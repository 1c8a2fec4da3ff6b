"""Kafka requests that tell what this client may do; aiokafka 0.14 has only earlier versions.

Field by field from Kafka's ``MetadataRequest.json`` and ``DescribeGroupsRequest.json`` (KIP-430).
"""
# ruff: noqa: N801  # aiokafka's own naming: request and version

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.types import Array, Boolean, Bytes, Int16, Int32, Schema, String

_STRING = String("utf-8")


class MetadataResponse_v8(Response):  # type: ignore[misc]  # aiokafka: untyped
    """For each topic: error code, name, …, and the operations that are allowed, as bits."""

    API_KEY = 3
    API_VERSION = 8
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        (
            "brokers",
            Array(("node_id", Int32), ("host", _STRING), ("port", Int32), ("rack", _STRING)),
        ),
        ("cluster_id", _STRING),
        ("controller_id", Int32),
        (
            "topics",
            Array(
                ("error_code", Int16),
                ("name", _STRING),
                ("is_internal", Boolean),
                (
                    "partitions",
                    Array(
                        ("error_code", Int16),
                        ("partition_index", Int32),
                        ("leader_id", Int32),
                        ("leader_epoch", Int32),
                        ("replica_nodes", Array(Int32)),
                        ("isr_nodes", Array(Int32)),
                        ("offline_replicas", Array(Int32)),
                    ),
                ),
                ("topic_authorized_operations", Int32),
            ),
        ),
        ("cluster_authorized_operations", Int32),
    )


class MetadataRequest_v8(RequestStruct):  # type: ignore[misc]  # aiokafka: untyped
    """Ask about topics, and what may be done to them."""

    API_KEY = 3
    API_VERSION = 8
    RESPONSE_TYPE = MetadataResponse_v8
    SCHEMA = Schema(
        ("topics", Array(_STRING)),
        ("allow_auto_topic_creation", Boolean),
        ("include_cluster_authorized_operations", Boolean),
        ("include_topic_authorized_operations", Boolean),
    )


class AuthorizedTopicsRequest(Request[MetadataRequest_v8]):  # type: ignore[misc]  # aiokafka
    """Ask what this client may do to topics; none is created by asking."""

    API_KEY = 3

    def __init__(self, topics: Sequence[str]) -> None:
        self._topics = list(topics)

    def build(self, request_struct_class: Any) -> Any:
        """Return the request in the version that the broker speaks."""
        return request_struct_class(self._topics, False, False, True)


class DescribeGroupsResponse_v3(Response):  # type: ignore[misc]  # aiokafka: untyped
    """For each group: error code, name, …, and the operations that are allowed, as bits."""

    API_KEY = 15
    API_VERSION = 3
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        (
            "groups",
            Array(
                ("error_code", Int16),
                ("group_id", _STRING),
                ("group_state", _STRING),
                ("protocol_type", _STRING),
                ("protocol_data", _STRING),
                (
                    "members",
                    Array(
                        ("member_id", _STRING),
                        ("client_id", _STRING),
                        ("client_host", _STRING),
                        ("member_metadata", Bytes),
                        ("member_assignment", Bytes),
                    ),
                ),
                ("authorized_operations", Int32),
            ),
        ),
    )


class DescribeGroupsRequest_v3(RequestStruct):  # type: ignore[misc]  # aiokafka: untyped
    """Ask about groups, and what may be done to them."""

    API_KEY = 15
    API_VERSION = 3
    RESPONSE_TYPE = DescribeGroupsResponse_v3
    SCHEMA = Schema(("groups", Array(_STRING)), ("include_authorized_operations", Boolean))


class AuthorizedGroupsRequest(Request[DescribeGroupsRequest_v3]):  # type: ignore[misc]  # aiokafka
    """Ask what this client may do to groups."""

    API_KEY = 15

    def __init__(self, groups: Sequence[str]) -> None:
        self._groups = list(groups)

    def build(self, request_struct_class: Any) -> Any:
        """Return the request in the version that the broker speaks."""
        return request_struct_class(self._groups, True)
