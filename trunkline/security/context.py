"""The TLS context of a client, made of PEM files; a file that will not do is named."""

from __future__ import annotations

import ssl
import time
from pathlib import Path

from trunkline.errors import ConfigurationError


def trusting_context(ca_file: Path | None, variable: str) -> ssl.SSLContext:
    """Return a context that trusts the certificates of a file, else those of the system.

    Args:
        ca_file: PEM.
        variable: Where it was named, for messages.

    Raises:
        ConfigurationError: The file cannot be read, or has no certificates.

    """
    try:
        return ssl.create_default_context(cafile=ca_file)
    except OSError as error:
        raise ConfigurationError(f"{variable}={ca_file}: {_why(error, 'certificates')}.") from None


def client_context(
    *,
    ca_file: Path | None,
    cert_file: Path | None,
    key_file: Path | None,
    key_password: str | None,
    check_hostname: bool,
) -> ssl.SSLContext:
    """Return the context of a Kafka client; TLS 1.2 or later, and chains are always verified.

    Args:
        ca_file: Certificates that brokers are trusted by.
        cert_file: Certificate that this process shows, with its chain.
        key_file: Its key; None when it is in the same file.
        key_password: What the key is encrypted with.
        check_hostname: Whether a broker's certificate must be for its host name.

    Raises:
        ConfigurationError: A file cannot be read, or is not what it should be.

    """
    context = trusting_context(ca_file, "KAFKA_SSL_CA_FILE")
    context.check_hostname = check_hostname
    if cert_file is None:
        if key_file is not None or key_password is not None:
            raise ConfigurationError(
                "KAFKA_SSL_CERT_FILE is not set, and a key is given for it: set it."
            )
        return context
    _load_certificate(context, cert_file, key_file, key_password)
    _require_valid(cert_file)
    return context


def _load_certificate(
    context: ssl.SSLContext, cert_file: Path, key_file: Path | None, password: str | None
) -> None:
    for name, path in (("KAFKA_SSL_CERT_FILE", cert_file), ("KAFKA_SSL_KEY_FILE", key_file)):
        try:
            if path is not None:
                path.read_bytes()
        except OSError as error:
            raise ConfigurationError(f"{name}={path}: {_why(error, '')}.") from None
    asked: list[bool] = []

    def give_password() -> str:
        asked.append(True)  # else OpenSSL would ask at the terminal
        return password or ""

    try:
        context.load_cert_chain(cert_file, key_file, give_password)
    except ssl.SSLError as error:
        variable = "KAFKA_SSL_CERT_FILE" if key_file is None else "KAFKA_SSL_KEY_FILE"
        if asked:
            has = "is not set" if password is None else "is wrong"
            reason = f"the key is encrypted, and KAFKA_SSL_KEY_PASSWORD (or its _FILE) {has}"
        elif error.reason == "KEY_VALUES_MISMATCH":
            reason = f"this key does not belong to the certificate in {cert_file}"
        else:
            reason = _why(error, "a certificate and its key")
        raise ConfigurationError(f"{variable}={key_file or cert_file}: {reason}.") from None


def _require_valid(cert_file: Path) -> None:
    """Refuse a certificate of ours that no broker would take: their refusal names no reason."""
    decoded = ssl._ssl._test_decode_cert(str(cert_file))  # type: ignore[attr-defined]
    now = time.time()
    if ssl.cert_time_to_seconds(decoded["notAfter"]) < now:
        raise ConfigurationError(
            f"KAFKA_SSL_CERT_FILE={cert_file}: the certificate expired on {decoded['notAfter']}: "
            "put a new one there."
        )
    if ssl.cert_time_to_seconds(decoded["notBefore"]) > now:
        raise ConfigurationError(
            f"KAFKA_SSL_CERT_FILE={cert_file}: the certificate is valid only from "
            f"{decoded['notBefore']} on: see that this machine's clock is right."
        )


def _why(error: OSError, expected: str) -> str:
    if isinstance(error, ssl.SSLError):
        return f"it is no PEM file of {expected}"
    return f"cannot be read ({error.strerror or error})"
