"""Kafka requests that aiokafka 0.14 lacks, in the shape of its own ``aiokafka.protocol.admin``.

Field by field from Kafka's ``IncrementalAlterConfigsRequest.json`` (KIP-339: change some settings
and leave the others alone; aiokafka has only AlterConfigs, which resets all that it is not told)
and ``DescribeClusterRequest.json`` (KIP-700, KIP-1073: brokers that are down count as well).
"""
# ruff: noqa: N801  # aiokafka's own naming: request and version

from __future__ import annotations

from typing import Any

from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.types import (
    Array,
    Boolean,
    CompactArray,
    CompactString,
    Int8,
    Int16,
    Int32,
    Schema,
    String,
    TaggedFields,
)

TOPIC_RESOURCE = 2
_SET = 0
_ENDPOINT_BROKERS = 1


class IncrementalAlterConfigsResponse_v0(Response):  # type: ignore[misc]  # aiokafka: untyped
    """For each resource: error code (0 is well), message, type and name."""

    API_KEY = 44
    API_VERSION = 0
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        (
            "resources",
            Array(
                ("error_code", Int16),
                ("error_message", String("utf-8")),
                ("resource_type", Int8),
                ("resource_name", String("utf-8")),
            ),
        ),
    )


class IncrementalAlterConfigsRequest_v0(RequestStruct):  # type: ignore[misc]  # aiokafka: untyped
    """For each resource: type, name and (setting, operation, value)."""

    API_KEY = 44
    API_VERSION = 0
    RESPONSE_TYPE = IncrementalAlterConfigsResponse_v0
    SCHEMA = Schema(
        (
            "resources",
            Array(
                ("resource_type", Int8),
                ("resource_name", String("utf-8")),
                (
                    "configs",
                    Array(
                        ("name", String("utf-8")),
                        ("config_operation", Int8),
                        ("value", String("utf-8")),
                    ),
                ),
            ),
        ),
        ("validate_only", Boolean),
    )


class IncrementalAlterConfigsRequest(
    Request[IncrementalAlterConfigsRequest_v0]  # type: ignore[misc]  # aiokafka: untyped
):
    """Set some settings of topics; all others stay as they are."""

    API_KEY = 44

    def __init__(self, topics: dict[str, dict[str, str]]) -> None:
        self._resources = [
            (TOPIC_RESOURCE, name, [(key, _SET, value) for key, value in configs.items()])
            for name, configs in topics.items()
        ]

    def build(self, request_struct_class: Any) -> Any:
        """Return the request in the version that the broker speaks."""
        return request_struct_class(self._resources, False)


class DescribeClusterResponse_v2(Response):  # type: ignore[misc]  # aiokafka: untyped
    """All registered brokers, ``is_fenced`` while one is down."""

    API_KEY = 60
    API_VERSION = 2
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        ("error_code", Int16),
        ("error_message", CompactString("utf-8")),
        ("endpoint_type", Int8),
        ("cluster_id", CompactString("utf-8")),
        ("controller_id", Int32),
        (
            "brokers",
            CompactArray(
                ("broker_id", Int32),
                ("host", CompactString("utf-8")),
                ("port", Int32),
                ("rack", CompactString("utf-8")),
                ("is_fenced", Boolean),
                ("tags", TaggedFields),
            ),
        ),
        ("cluster_authorized_operations", Int32),
        ("tags", TaggedFields),
    )


class DescribeClusterRequest_v2(RequestStruct):  # type: ignore[misc]  # aiokafka: untyped
    """Ask for the brokers; the first version that can include fenced ones (Kafka 4.0)."""

    FLEXIBLE_VERSION = True
    API_KEY = 60
    API_VERSION = 2
    RESPONSE_TYPE = DescribeClusterResponse_v2
    SCHEMA = Schema(
        ("include_cluster_authorized_operations", Boolean),
        ("endpoint_type", Int8),
        ("include_fenced_brokers", Boolean),
        ("tags", TaggedFields),
    )


class DescribeClusterRequest(
    Request[DescribeClusterRequest_v2]  # type: ignore[misc]  # aiokafka: untyped
):
    """List the brokers of the cluster, those that are down included."""

    API_KEY = 60

    def build(self, request_struct_class: Any) -> Any:
        """Return the request in the version that the broker speaks."""
        return request_struct_class(False, _ENDPOINT_BROKERS, True, {})
