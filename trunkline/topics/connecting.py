"""What to say when Kafka does not answer, instead of what aiokafka logs."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import NamedTuple

from trunkline.connection import KafkaConnection
from trunkline.errors import BrokerError, ConfigurationError, RefusedError
from trunkline.security.refusal import NOT_KAFKA, is_certain, why_refused

_LOGGERS = ("aiokafka", "aiokafka.conn", "aiokafka.cluster")
_PROBE_TIMEOUT_S = 1.0
_LOOPBACK = ("127.", "localhost", "::1", "[::1]")

_quiet: ContextVar[bool] = ContextVar("_quiet", default=False)


def _is_wanted(record: logging.LogRecord) -> bool:
    return not _quiet.get()


@contextmanager
def quiet_aiokafka() -> Iterator[None]:
    """Keep aiokafka from logging what we raise as an error of our own.

    Only what is done inside is silenced: another client of the same process goes on logging.
    """
    for name in _LOGGERS:
        logging.getLogger(name).addFilter(_is_wanted)  # a filter is added only once
    token = _quiet.set(True)
    try:
        yield
    finally:
        _quiet.reset(token)


def check_addresses(connection: KafkaConnection) -> None:
    """Check that every server is ``host:port``.

    Raises:
        ConfigurationError: One is not.

    """
    for server in connection.servers:
        host, _, port = server.rpartition(":")
        if not host or not port.isdigit() or not 0 < int(port) < 65_536:
            raise ConfigurationError(
                f"KAFKA_BOOTSTRAP_SERVERS: {server!r} is not host:port, such as kafka-1:9092"
            )


async def why_no_answer(connection: KafkaConnection) -> str:
    """Return a message that says which server does not answer, why, and what to do."""
    return str(await no_answer(connection))


async def no_answer(connection: KafkaConnection) -> BrokerError:
    """Return an error that says which server does not answer, why, and what to do.

    Returns:
        A :class:`RefusedError` when a broker is there and refuses us: waiting does not help.

    """
    with quiet_aiokafka():
        answers = await asyncio.gather(
            *(_probe(server, connection) for server in connection.servers)
        )
    reasons = [answer.reason for answer in answers]
    if len(set(reasons)) == 1:
        text = f"Kafka at {connection} does not answer: {reasons[0]}"
    else:
        pairs = zip(connection.servers, reasons, strict=True)
        text = f"Kafka does not answer ({'; '.join(f'{one}: {why}' for one, why in pairs)})"
    if any(answer.refuses for answer in answers):
        return RefusedError(text.replace("does not answer", "refuses us", 1))
    if all(server.startswith(_LOOPBACK) for server in connection.servers):
        return BrokerError(f"{text}; start it with: trunkline broker start")
    return BrokerError(f"{text}; check KAFKA_BOOTSTRAP_SERVERS and that the cluster is up")


class _Answer(NamedTuple):
    reason: str
    refuses: bool = False


async def _probe(server: str, connection: KafkaConnection) -> _Answer:
    host, _, port = server.rpartition(":")
    try:
        async with asyncio.timeout(_PROBE_TIMEOUT_S):
            _, writer = await asyncio.open_connection(host.strip("[]"), int(port))
    except TimeoutError:
        return _Answer("no connection within a second")
    except OSError as error:
        return _Answer(_strerror(error))
    writer.close()
    try:
        reason = await why_refused(server, connection)
    except TimeoutError:
        return _Answer(NOT_KAFKA)
    if reason is None:
        return _Answer("it answers now, and did not a moment ago")
    return _Answer(reason, is_certain(reason))


def _strerror(error: OSError) -> str:
    """Return the plain reason: asyncio's own text is only "Connect call failed"."""
    if error.errno and error.errno > 0:
        return os.strerror(error.errno).lower()
    return (error.strerror or str(error)).lower()  # a host name that does not resolve
