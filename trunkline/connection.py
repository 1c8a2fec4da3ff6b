"""How every client of ours reaches Kafka: the brokers to ask first, and what TLS and SASL need."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any


@dataclass(frozen=True)
class KafkaConnection:
    """One value for what each client would have to be given by itself.

    Attributes:
        servers: ``host:port`` of the brokers to ask first.
        security: aiokafka's own options for TLS and SASL; empty for plaintext.

    """

    servers: tuple[str, ...]
    security: Mapping[str, Any] = field(default_factory=dict, repr=False)

    @classmethod
    def plaintext(cls, servers: str) -> KafkaConnection:
        """Return the way to a cluster without TLS and SASL, such as the embedded one.

        Args:
            servers: ``host:port[,host:port…]``.

        """
        return cls(tuple(server.strip() for server in servers.split(",") if server.strip()))

    def at(self, server: str) -> KafkaConnection:
        """Return the way to one of the servers."""
        return replace(self, servers=(server,))

    def options(self) -> dict[str, Any]:
        """Return what an aiokafka client takes: ``AIOKafkaConsumer(**connection.options())``."""
        return {"bootstrap_servers": list(self.servers), **self.security}

    def __str__(self) -> str:
        """Return the brokers, for messages; never a secret."""
        return ", ".join(self.servers)
