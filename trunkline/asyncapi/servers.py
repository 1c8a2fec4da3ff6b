"""Where Kafka is, and how it is entered; never with what."""

from __future__ import annotations

from typing import Any

from trunkline.connection import KafkaConnection

#: Kafka's name of a SASL mechanism → AsyncAPI's type of a security scheme.
_SCHEMES = {
    "PLAIN": "plain",
    "SCRAM-SHA-256": "scramSha256",
    "SCRAM-SHA-512": "scramSha512",
    "GSSAPI": "gssapi",
}
_CERTIFICATE = "X509"


def servers_of(connection: KafkaConnection) -> dict[str, Any]:
    """Return a server for each broker that is asked first: ``kafka-1``, ``kafka-2``, ….

    The protocol is ``kafka-secure`` where TLS is on.
    """
    schemes = [{"$ref": f"#/components/securitySchemes/{n}"} for n in security_schemes(connection)]
    return {
        f"kafka-{number}": {
            "host": server,
            "protocol": "kafka-secure" if "SSL" in _protocol(connection) else "kafka",
            "description": "A broker to ask first.",
            **({"security": schemes} if schemes else {}),
        }
        for number, server in enumerate(connection.servers, 1)
    }


def security_schemes(connection: KafkaConnection) -> dict[str, Any]:
    """Return how a client shows who it is; empty where it need not."""
    protocol = _protocol(connection)
    if "SASL" in protocol:
        mechanism = str(connection.security.get("sasl_mechanism", "PLAIN"))
        scheme = _SCHEMES.get(mechanism)
        if scheme is None:
            return {"sasl": {"type": "userPassword", "description": f"SASL {mechanism}"}}
        return {"sasl": {"type": scheme}}
    return {"tls": {"type": _CERTIFICATE}} if protocol == "SSL" else {}


def _protocol(connection: KafkaConnection) -> str:
    return str(connection.security.get("security_protocol", "PLAINTEXT"))
