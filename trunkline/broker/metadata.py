"""One question to a Kafka node: who is in the cluster? Asked without a client's background tasks.

A client such as aiokafka keeps trying and logs an error per attempt; while a broker starts, a
refused connection is what is expected.
"""

from __future__ import annotations

import socket
import ssl
import struct
from dataclasses import dataclass
from typing import Any

from aiokafka.protocol.admin import SaslAuthenticateRequest_v1, SaslHandShakeRequest_v1
from aiokafka.protocol.metadata import MetadataRequest_v5

from trunkline.broker.ports import HOST
from trunkline.broker.security import ADMIN, BrokerSecurity

_SIZE = struct.Struct(">i")
_DESCRIBE_QUORUM = 55
_NO_TAGS = b"\0"


@dataclass(frozen=True)
class ClusterView:
    """The cluster as one node sees it.

    Attributes:
        brokers: Ids of the nodes that are registered and not fenced.
        controller: Id of the node that a client may ask for changes; -1 when there is none.
        topics: How many there are, Kafka's own included.
        leaderless: Partitions that nobody leads, as ``topic-partition``.

    """

    brokers: frozenset[int]
    controller: int
    topics: int
    leaderless: tuple[str, ...]


def ask(
    port: int, security: BrokerSecurity | None = None, timeout_s: float = 2.0
) -> ClusterView | None:
    """Ask the node at a port; None when it does not answer (yet)."""
    try:
        with socket.create_connection((HOST, port), timeout_s) as connection:
            if security is None:
                return _view(connection)
            context = ssl.create_default_context(cafile=security.ca_file)
            with context.wrap_socket(connection, server_hostname=HOST) as secured:
                _log_in(secured, security.passwords[ADMIN])
                return _view(secured)
    except (OSError, EOFError, ValueError):
        # ValueError: seen once in a node's first second, an answer that ended too early.
        return None


def ask_controller(port: int, timeout_s: float = 2.0) -> int | None:
    """Ask the node at a port who the active controller is; None when it cannot tell (yet).

    A client's metadata names any broker as the controller (KIP-590); the quorum's own description
    has its leader (DescribeQuorum, KIP-595), which aiokafka does not know.
    """
    topic = b"__cluster_metadata"
    client = b"trunkline-broker"
    request = (
        struct.pack(">hhih", _DESCRIBE_QUORUM, 0, 1, len(client)) + client + _NO_TAGS
        # Arrays and strings have their length plus one in front: one topic, its partition 0.
        + b"\x02" + bytes([len(topic) + 1]) + topic
        + b"\x02" + struct.pack(">i", 0) + _NO_TAGS + _NO_TAGS + _NO_TAGS
    )  # fmt: skip
    try:
        with socket.create_connection((HOST, port), timeout_s) as connection:
            connection.settimeout(timeout_s)
            connection.sendall(_SIZE.pack(len(request)) + request)
            [size] = _SIZE.unpack(_read(connection, _SIZE.size))
            answer = _read(connection, size)
    except (OSError, EOFError, ValueError):
        # ValueError: seen once in a node's first second, an answer that ended too early.
        return None
    # Correlation id, tags, error; an array of one topic, its name; an array of one partition.
    at = 4 + 1 + 2 + 1 + 1 + len(topic) + 1
    if len(answer) < at + 10:
        return None  # an error, and no topic
    _, error, leader = struct.unpack_from(">ihi", answer, at)
    return leader if error == 0 and leader >= 0 else None


def _log_in(connection: socket.socket, password: str) -> None:
    _exchange(connection, SaslHandShakeRequest_v1("PLAIN"))
    credentials = f"\0{ADMIN}\0{password}".encode()
    if _exchange(connection, SaslAuthenticateRequest_v1(credentials)).error_code:
        raise EOFError  # it does not know its users yet


def _view(connection: socket.socket) -> ClusterView:
    body = _exchange(connection, MetadataRequest_v5(None, False))  # no names: all topics
    return ClusterView(
        brokers=frozenset(broker[0] for broker in body.brokers),
        controller=body.controller_id,
        topics=len(body.topics),
        leaderless=tuple(
            f"{name}-{partition[1]}"
            for _, name, _, partitions in body.topics
            for partition in partitions
            if partition[2] < 0
        ),
    )


def _exchange(connection: socket.socket, request: Any) -> Any:
    header = request.build_request_header(correlation_id=1, client_id="trunkline-broker")
    message = header.encode() + request.encode()
    connection.sendall(_SIZE.pack(len(message)) + message)
    [size] = _SIZE.unpack(_read(connection, _SIZE.size))
    answer = _read(connection, size)
    return request.RESPONSE_TYPE.decode(answer[_SIZE.size :])  # what precedes: the correlation id


def _read(connection: socket.socket, size: int) -> bytes:
    parts = bytearray()
    while len(parts) < size:
        part = connection.recv(size - len(parts))
        if not part:
            raise EOFError
        parts += part
    return bytes(parts)
