"""A three-node Kafka with TLS, users and ACLs, shared by all tests of a run; and its clients."""

from __future__ import annotations

import base64
import json
import time
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import Any

from aiokafka.conn import AIOKafkaConnection

from tests.support.certificates import Authority
from trunkline.broker import EmbeddedBroker, SecurityOptions
from trunkline.broker.ports import HOST, ssl_port
from trunkline.connection import KafkaConnection
from trunkline.security.options import security_options
from trunkline.security.settings import SecuritySettings
from trunkline.topics.acl_changes import grant
from trunkline.topics.acls import all_rights, principals
from trunkline.topology import Topology
from trunkline.verifying.stage import Stage

_NODES = 3
_OAUTH = "org.apache.kafka.common.security.oauthbearer.OAuthBearerLoginModule"
_PROPERTIES = {
    # Tokens without a signature, as Kafka takes them unless told otherwise: for tests.
    "sasl.enabled.mechanisms": "SCRAM-SHA-512,SCRAM-SHA-256,PLAIN,OAUTHBEARER",
    "listener.name.sasl_ssl.oauthbearer.sasl.jaas.config": (
        f'{_OAUTH} required unsecuredLoginStringClaim_sub="broker";'
    ),
    # A certificate's common name is the user.
    "ssl.principal.mapping.rules": "RULE:^CN=([^,]+),.*$/$1/,DEFAULT",
}


def secure_broker(folder: Path) -> EmbeddedBroker:
    """Return the broker, started when it was not; its clients' authority lies beside it."""
    ca_file = folder / "clients-ca.pem"
    if not ca_file.exists():
        Authority(folder, "clients-ca").issue("engine")
    options = SecurityOptions(principals(Topology()), ca_file, _PROPERTIES)
    return EmbeddedBroker(folder / "broker", port=0, nodes=_NODES, secure=options)


def end_tls_at_once() -> None:
    """Let this process's clients not wait for the broker's farewell when they close.

    A test's loop may be gone before that comes; the socket would then be found open, and be blamed
    on whichever test runs at the next garbage collection.
    """
    close = AIOKafkaConnection.close
    if hasattr(close, "__wrapped__"):
        return

    @wraps(close)
    def closing(self: Any, *args: Any, **options: Any) -> Any:
        writer = self._writer
        closed = close(self, *args, **options)
        if writer is not None:
            writer.transport.abort()
        return closed

    AIOKafkaConnection.close = closing


@dataclass
class SecureKafka:
    """Ways to the secure cluster.

    Attributes:
        broker: The cluster.
        folder: Where certificates and tokens are.

    """

    broker: EmbeddedBroker
    folder: Path

    @property
    def servers(self) -> str:
        return self.broker.bootstrap_servers

    @property
    def ssl_servers(self) -> str:
        """Where clients with certificates connect."""
        first = int(self.servers.split(",")[0].rpartition(":")[2])
        return ",".join(f"{HOST}:{ssl_port(first, node)}" for node in range(3))

    def user(self, name: str, mechanism: str = "SCRAM-SHA-512", **changes: str) -> dict[str, str]:
        """Return the environment of a user's processes."""
        own = self.broker.security.environment(name, mechanism)
        return {**own, "KAFKA_BOOTSTRAP_SERVERS": self.servers, **changes}

    def certificate(self, name: str, **changes: str) -> dict[str, str]:
        """Return the environment of a process that is known by a certificate."""
        return {
            "KAFKA_BOOTSTRAP_SERVERS": self.ssl_servers,
            "KAFKA_SECURITY_PROTOCOL": "SSL",
            "KAFKA_SSL_CA_FILE": str(self.broker.security.ca_file),
            "KAFKA_SSL_CERT_FILE": str(self.folder / f"{name}.crt.pem"),
            "KAFKA_SSL_KEY_FILE": str(self.folder / f"{name}.key.pem"),
            **changes,
        }

    def token(self, name: str, life_s: float = 3600) -> dict[str, str]:
        """Return the environment of a process that is known by a token."""
        now = time.time()
        parts = ({"alg": "none"}, {"sub": name, "iat": now - 1, "exp": now + life_s})
        texts = [base64.urlsafe_b64encode(json.dumps(part).encode()).decode() for part in parts]
        file = self.folder / f"{name}-{life_s:g}.token"
        file.write_text("".join(f"{text.rstrip('=')}." for text in texts))
        return {
            "KAFKA_BOOTSTRAP_SERVERS": self.servers,
            "KAFKA_SECURITY_PROTOCOL": "SASL_SSL",
            "KAFKA_SSL_CA_FILE": str(self.broker.security.ca_file),
            "KAFKA_SASL_MECHANISM": "OAUTHBEARER",
            "KAFKA_SASL_OAUTH_TOKEN_FILE": str(file),
        }


def connection(environment: dict[str, str]) -> KafkaConnection:
    """Return the connection that a process with this environment would make."""
    fields = SecuritySettings.model_fields
    given = SecuritySettings.model_construct(
        **{name: field.default for name, field in fields.items()}
    ).model_dump()
    for name, value in environment.items():
        field = name.lower()
        if field in given:
            is_file = field.endswith("_file")
            given[field] = Path(value) if is_file else value
            if field.endswith("password"):
                given[field] = _Secret(value)
    servers = environment["KAFKA_BOOTSTRAP_SERVERS"]
    return KafkaConnection(tuple(servers.split(",")), security_options(given))


class _Secret(str):
    __slots__ = ()

    def get_secret_value(self) -> str:
        return str(self)


class SecureStage(Stage):
    """A stage on which each service is a user of its own, with the printed rights and no others."""

    secure: SecureKafka

    async def __aenter__(self) -> Stage:
        stage = await super().__aenter__()
        await grant(
            self.connection,
            all_rights(Topology(self.topology.namespace)),
            lambda who: f"User:{who}",
        )
        return stage

    def pods(self, service, count, **env):
        return super().pods(service, count, **self.secure.user(service), **env)
