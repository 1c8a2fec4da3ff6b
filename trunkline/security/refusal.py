"""Why a broker that is there does not take us: which setting is wrong, and what it should be.

A client says only that it could not connect, or that the connection was closed. So its steps are
taken again here, one by one: TLS, Kafka's first request, SASL, a question.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import Mapping
from typing import Any

from aiokafka import errors
from aiokafka.conn import create_conn
from aiokafka.protocol.metadata import MetadataRequest

from trunkline.connection import KafkaConnection

NOT_KAFKA = "it takes connections but does not speak Kafka (is it starting?)"
WANTS_SASL = "it closes the connection: does it want SASL (KAFKA_SECURITY_PROTOCOL={})?"

_STEP_S = 2.0

#: OpenSSL's verification results (x509_vfy.h).
_EXPIRED, _NOT_YET = 10, 9
_UNTRUSTED = frozenset({18, 19, 20, 21})
_OTHER_NAME = frozenset({62, 64})

#: A TLS alert of the peer's, as OpenSSL names the error, and what it means.
_ALERTS = {
    "CERTIFICATE_EXPIRED": "has expired",
    "CERTIFICATE_REVOKED": "was revoked",
    "CERTIFICATE_REQUIRED": "is missing",
    "UNKNOWN_CA": "is signed by none that it trusts",
    "BAD_CERTIFICATE": "is refused",
    "CERTIFICATE_UNKNOWN": "is refused",
    "UNSUPPORTED_CERTIFICATE": "is refused",
}


async def why_refused(server: str, connection: KafkaConnection) -> str | None:
    """Return why a broker that listens refuses this client; None when it does not.

    Raises:
        TimeoutError: It does not answer.

    """
    host, port = _place(server)
    client = None
    try:
        async with asyncio.timeout(_STEP_S):
            client = await create_conn(
                host, port, client_id="trunkline-probe", max_idle_ms=None, **connection.security
            )
            await client.send(MetadataRequest([]))
    except ssl.SSLCertVerificationError as error:
        return _untrusted(error, server)
    except (errors.KafkaError, OSError, EOFError) as error:
        return _refused(error, connection) or await _closed(server, connection)
    finally:
        if client is not None:
            client.close()
    return None


def is_certain(reason: str) -> bool:
    """Tell whether a broker surely refuses us; one that starts or stops may go on later."""
    return reason != NOT_KAFKA and not reason.startswith(WANTS_SASL.partition("{")[0])


def _place(server: str) -> tuple[str, int]:
    host, _, port = server.rpartition(":")
    return host.strip("[]"), int(port)


def _untrusted(error: ssl.SSLCertVerificationError, server: str) -> str:
    code, said = error.verify_code, error.verify_message
    if code == _EXPIRED:
        return "its certificate has expired: renew it on the broker (and see this machine's clock)"
    if code == _NOT_YET:
        return "its certificate is not valid yet: see the clocks of the broker and of this machine"
    if code in _UNTRUSTED:
        return (
            f"its certificate is signed by none that we trust ({said}): set KAFKA_SSL_CA_FILE to "
            "the certificate of the cluster's authority"
        )
    if code in _OTHER_NAME:
        return (
            f"its certificate is for another host than {_place(server)[0]}: name the broker in "
            "KAFKA_BOOTSTRAP_SERVERS as its certificate does, or renew that with this name"
        )
    return f"its certificate is not valid ({said})"


def _refused(error: BaseException, connection: KafkaConnection) -> str | None:
    """Return what the broker said itself; None when it said nothing."""
    options = connection.security
    mechanism = options.get("sasl_mechanism")
    if isinstance(error, errors.SaslAuthenticationFailed):
        return _not_authenticated(error, options)
    if isinstance(error, errors.UnsupportedSaslMechanismError):
        return f"it does not take KAFKA_SASL_MECHANISM={mechanism}"
    if isinstance(error, errors.IllegalSaslStateError):
        protocol = options["security_protocol"].removeprefix("SASL_")
        return f"it takes no SASL there: set KAFKA_SECURITY_PROTOCOL={protocol}, or another port"
    if isinstance(error, ssl.SSLError):
        return _tls_failure(error)
    # Ours: there is no token to show.
    return str(error) if type(error).__module__.startswith("trunkline") else None


def _not_authenticated(error: BaseException, options: Mapping[str, Any]) -> str:
    mechanism, user = options["sasl_mechanism"], options.get("sasl_plain_username")
    if mechanism == "OAUTHBEARER":
        return (
            f"it refuses the OAUTHBEARER token ({error}): it may have expired, or be for another "
            "audience; see KAFKA_SASL_OAUTH_TOKEN_FILE or KAFKA_SASL_OAUTH_TOKEN_URL"
        )
    return (
        f"it refuses user {user!r} with {mechanism}: wrong KAFKA_SASL_USERNAME or "
        "KAFKA_SASL_PASSWORD"
    )


def _tls_failure(error: ssl.SSLError) -> str | None:
    reason = error.reason or ""
    for name, meaning in _ALERTS.items():
        if name in reason:
            return f"our certificate {meaning}: see KAFKA_SSL_CERT_FILE and KAFKA_SSL_KEY_FILE"
    if "WRONG_VERSION" in reason or "RECORD_LAYER" in reason:
        return _NO_TLS
    return None if isinstance(error, ssl.SSLEOFError) else f"TLS fails ({reason or error})"


_NO_TLS = (
    "it does not speak TLS: set KAFKA_SECURITY_PROTOCOL to PLAINTEXT or SASL_PLAINTEXT, or name "
    "its TLS port"
)


async def _closed(server: str, connection: KafkaConnection) -> str:
    """Return why it may have closed the connection without a word."""
    protocol = connection.security.get("security_protocol", "PLAINTEXT")
    if not protocol.endswith("SSL"):
        return await _closed_in_plaintext(server, protocol)
    alert = await _alert(server, connection.security["ssl_context"])
    if alert is not None:
        return alert
    if await _speaks_kafka(server):
        return _NO_TLS
    return WANTS_SASL.format("SASL_SSL") if protocol == "SSL" else NOT_KAFKA


async def _closed_in_plaintext(server: str, protocol: str) -> str:
    if await _speaks_tls(server):
        secure = "SASL_SSL" if protocol.startswith("SASL") else "SSL or SASL_SSL"
        return f"it speaks TLS: set KAFKA_SECURITY_PROTOCOL to {secure}"
    if protocol == "PLAINTEXT" and await _speaks_kafka(server):
        return WANTS_SASL.format("SASL_PLAINTEXT")
    return NOT_KAFKA


async def _speaks_tls(server: str) -> bool:
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE  # nothing is sent over it: only to see whether it is TLS
    try:
        async with asyncio.timeout(_STEP_S):
            _, writer = await asyncio.open_connection(*_place(server), ssl=context)
    except ssl.SSLError as error:
        # It may want a certificate of ours, and does so in TLS.
        return "ALERT" in (error.reason or "")
    except (OSError, TimeoutError):
        return False
    writer.transport.abort()
    return True


async def _speaks_kafka(server: str) -> bool:
    """Tell whether it answers the first request, which needs no authentication, in plaintext."""
    host, port = _place(server)
    try:
        async with asyncio.timeout(_STEP_S):
            client: Any = await create_conn(host, port, client_id="trunkline-probe")
    except (errors.KafkaError, OSError, EOFError, TimeoutError):
        return False
    client.close()
    return True


async def _alert(server: str, context: ssl.SSLContext) -> str | None:
    """Return what the broker thinks of our certificate: TLS 1.3 tells only after the handshake."""
    writer = None
    try:
        async with asyncio.timeout(_STEP_S):
            reader, writer = await asyncio.open_connection(*_place(server), ssl=context)
            await reader.read(1)
    except ssl.SSLError as error:
        return _tls_failure(error)
    except (OSError, TimeoutError):
        return None
    finally:
        if writer is not None:
            with contextlib.suppress(Exception):
                writer.transport.abort()
    return None
