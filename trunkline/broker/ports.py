"""The ports of the embedded broker: all of them are looked at before anything starts.

Node ``i`` listens at ``port + i`` for clients, at ``port + 10 + i`` as controller and, in a secure
cluster, at ``port + 20 + i`` for clients with certificates; on loopback.
"""

from __future__ import annotations

import os
import random
import socket
from collections.abc import Iterable

import psutil

from trunkline.broker.reservations import Reservations
from trunkline.errors import BrokerError

HOST = "127.0.0.1"
_CONTROLLERS = 10
_SSL = 20
_OUTSIDE = 30

# Below Linux's range for outgoing connections (32768 up): no client takes one by accident.
_FREE_FROM, _FREE_TO = 20_000, 32_000


def client_port(port: int, node: int) -> int:
    """Return where a node listens for clients."""
    return port + node


def controller_port(port: int, node: int) -> int:
    """Return where a node listens for the controllers of the cluster."""
    return port + _CONTROLLERS + node


def ssl_port(port: int, node: int) -> int:
    """Return where a node of a secure cluster listens for clients with certificates."""
    return port + _SSL + node


def outside_port(port: int, node: int) -> int:
    """Return where a node listens for clients at another address than loopback."""
    return port + _OUTSIDE + node


def all_ports(port: int, nodes: int, *, secure: bool = False) -> list[int]:
    """Return every port that a cluster uses, those for clients first."""
    ids = range(nodes)
    kinds = (client_port, controller_port, *([ssl_port] if secure else []))
    return [place(port, i) for place in kinds for i in ids]


def find_free_port(nodes: int = 1) -> int:
    """Return a first port from which on all the ports of a cluster are free right now.

    No other process that asks gets one of them for as long as this one lives.
    """
    with Reservations().held() as taken:
        for port in random.sample(range(_FREE_FROM, _FREE_TO), 200):
            ports = all_ports(port, nodes, secure=True)
            if not any(one in taken for one in ports) and all(map(_is_free, ports)):
                taken.update(dict.fromkeys(ports, os.getpid()))
                return port
    raise BrokerError(f"No free ports between {_FREE_FROM} and {_FREE_TO}; name one with --port.")


def require_free(ports: Iterable[int]) -> None:
    """Make sure that nobody listens at these ports.

    Raises:
        BrokerError: Someone does; the message names the port and, where the system tells, who.

    """
    for port in ports:
        if not _is_free(port):
            raise BrokerError(
                f"Port {port} on {HOST} is in use{_by_whom(port)}, and the embedded Kafka "
                "needs it. Stop it, or choose another port: trunkline broker start --port N "
                "(and TRUNKLINE_BROKER_PORT=N for the services). To use a Kafka that runs already, "
                "set KAFKA_BOOTSTRAP_SERVERS."
            )


def _is_free(port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        # As Kafka does: connections of an earlier broker that linger in TIME_WAIT do not count.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
            probe.listen(1)
        except OSError:
            return False
    return True


def _by_whom(port: int) -> str:
    try:
        for connection in psutil.net_connections("tcp"):
            listens = connection.status == psutil.CONN_LISTEN
            # An address that is not bound is an empty tuple.
            here = getattr(connection.laddr, "port", None) == port
            if listens and here and connection.pid:
                return f" by {psutil.Process(connection.pid).name()} (pid {connection.pid})"
    except psutil.Error:
        pass  # some systems tell this only to root; the port is what matters
    return ""
