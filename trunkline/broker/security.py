"""The embedded broker with TLS, users and access control lists switched on: to try least rights.

Clients authenticate at a SASL_SSL listener (SCRAM, or PLAIN), or with a certificate at an SSL
listener, over which the brokers talk too. Who is no super user may do only what ACLs allow
(Kafka's StandardAuthorizer). All certificates and passwords are made here, and stay here::

    secure/ca.pem        what clients trust: the brokers' certificate, which is its own authority
    secure/clients.pem   whose certificates the brokers trust beside their own
    secure/server.p12    the brokers' key
    secure/<user>.env    settings for a client, to be sourced by a shell
    secure/security.json the passwords; readable by their owner only, as all of these are
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from trunkline.broker.layout import Layout
from trunkline.broker.ports import HOST, client_port, controller_port, ssl_port
from trunkline.broker.process import java_home, run

ADMIN = "admin"
_BROKER = "CN=trunkline-broker"
_ITERATIONS = 4096
_SCRAM = {"SCRAM-SHA-256": "sha256", "SCRAM-SHA-512": "sha512"}
_MODULES = "org.apache.kafka.common.security"


@dataclass(frozen=True)
class SecurityOptions:
    """What a secure broker is to have.

    Attributes:
        users: Names of its users beside the super user ``admin``.
        clients_ca: PEM file of an authority whose certificates clients may show.
        properties: More of Kafka's settings; they win.

    """

    users: Sequence[str] = ()
    clients_ca: Path | None = None
    properties: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class BrokerSecurity:
    """The security of the broker in one folder.

    Attributes:
        folder: Where its files are.
        keystore_password: Of ``server.p12``.
        passwords: By user.
        properties: More of Kafka's settings.

    """

    folder: Path
    keystore_password: str = field(repr=False)
    passwords: Mapping[str, str] = field(repr=False)
    properties: Mapping[str, str]

    @property
    def ca_file(self) -> Path:
        """What clients trust the brokers by."""
        return self.folder / "ca.pem"

    def environment(self, user: str, mechanism: str = "SCRAM-SHA-512") -> dict[str, str]:
        """Return the settings with which a client is this user."""
        return {
            "KAFKA_SECURITY_PROTOCOL": "SASL_SSL",
            "KAFKA_SSL_CA_FILE": str(self.ca_file),
            "KAFKA_SASL_MECHANISM": mechanism,
            "KAFKA_SASL_USERNAME": user,
            "KAFKA_SASL_PASSWORD": self.passwords[user],
        }

    def server_properties(self, node: int, port: int) -> dict[str, str]:
        """Return what a node's configuration has instead of plaintext listeners."""
        plain = " ".join(f'user_{name}="{word}"' for name, word in self.passwords.items())
        listener = "listener.name.sasl_ssl"
        at = {
            "SASL_SSL": f"SASL_SSL://{HOST}:{client_port(port, node)}",
            "SSL": f"SSL://{HOST}:{ssl_port(port, node)}",
        }
        return {
            "listener.security.protocol.map": "SASL_SSL:SASL_SSL,SSL:SSL,CONTROLLER:SSL",
            "listeners": f"{at['SASL_SSL']},{at['SSL']},"
            f"CONTROLLER://{HOST}:{controller_port(port, node)}",
            "advertised.listeners": ",".join(at.values()),
            "inter.broker.listener.name": "SSL",
            "listener.name.ssl.ssl.client.auth": "required",
            "listener.name.controller.ssl.client.auth": "required",
            "sasl.enabled.mechanisms": "SCRAM-SHA-512,SCRAM-SHA-256,PLAIN",
            f"{listener}.scram-sha-512.sasl.jaas.config": _module("scram.ScramLoginModule"),
            f"{listener}.scram-sha-256.sasl.jaas.config": _module("scram.ScramLoginModule"),
            f"{listener}.plain.sasl.jaas.config": _module("plain.PlainLoginModule", plain),
            "ssl.keystore.type": "PKCS12",
            "ssl.keystore.location": str(self.folder / "server.p12"),
            "ssl.keystore.password": self.keystore_password,
            "ssl.truststore.type": "PEM",
            "ssl.truststore.location": str(self.folder / "clients.pem"),
            "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
            "super.users": f"User:{_BROKER};User:{ADMIN}",
            **self.properties,
        }

    def format_arguments(self) -> list[str]:
        """Return what Kafka's storage tool is told of the users; no password stands in it."""
        arguments = []
        for name, word in self.passwords.items():
            for mechanism, algorithm in _SCRAM.items():
                salt = secrets.token_bytes(16)
                salted = hashlib.pbkdf2_hmac(algorithm, word.encode(), salt, _ITERATIONS)
                credential = (
                    f'{mechanism}=[name="{name}",iterations={_ITERATIONS},'
                    f'salt="{_base64(salt)}",saltedpassword="{_base64(salted)}"]'
                )
                arguments += ["--add-scram", credential]
        return arguments


def read_security(layout: Layout) -> BrokerSecurity | None:
    """Return the security of the broker in a folder; None when it has none."""
    try:
        raw = json.loads((layout.security / "security.json").read_text("utf-8"))
    except OSError:
        return None
    return BrokerSecurity(layout.security, **raw)


def make_security(layout: Layout, options: SecurityOptions) -> BrokerSecurity:
    """Make certificates and passwords for a broker that has no data yet.

    Raises:
        BrokerError: Java's key tool failed.

    """
    folder = layout.security
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    made = BrokerSecurity(
        folder,
        secrets.token_urlsafe(24),
        {name: secrets.token_urlsafe(24) for name in (ADMIN, *options.users)},
        dict(options.properties),
    )
    _make_certificate(made)
    trusted = [made.ca_file, *([options.clients_ca] if options.clients_ca else [])]
    (folder / "clients.pem").write_text("\n".join(file.read_text("utf-8") for file in trusted))
    for user in made.passwords:
        lines = (f"export {name}='{value}'\n" for name, value in made.environment(user).items())
        write_privately(folder / f"{user}.env", "".join(lines))
    known = asdict(made)
    del known["folder"]
    write_privately(folder / "security.json", json.dumps(known))
    return made


def _make_certificate(made: BrokerSecurity) -> None:
    """Make the brokers' key and certificate with the key tool that comes with Java."""
    keystore, tool = made.folder / "server.p12", str(java_home() / "bin" / "keytool")
    keystore.unlink(missing_ok=True)
    password = made.folder / "keystore.password"
    write_privately(password, made.keystore_password)
    store = ["-keystore", str(keystore), "-storetype", "PKCS12", "-alias", "broker"]
    store += ["-storepass:file", str(password)]
    made_for = [
        *("-dname", _BROKER, "-keyalg", "EC", "-groupname", "secp256r1", "-validity", "3650"),
        *("-ext", f"san=dns:localhost,ip:{HOST}", "-ext", "bc:c=ca:true"),
        *("-ext", "ku:c=digitalSignature,keyCertSign"),
    ]
    what = "Making the embedded Kafka's certificate"
    run([tool, "-genkeypair", *store, *made_for], what)
    run([tool, "-exportcert", "-rfc", *store, "-file", str(made.ca_file)], what)
    password.unlink()


def _module(name: str, options: str = "") -> str:
    return f"{_MODULES}.{name} required {options};".replace(" ;", ";")


def _base64(raw: bytes) -> str:
    return base64.b64encode(raw).decode()


def write_privately(path: Path, text: str) -> None:
    """Write a file that only its owner may read, from the start."""
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.write(text)
