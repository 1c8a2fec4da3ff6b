"""On uvloop a connection that has just broken is an error that aiokafka knows.

A transport that is closed already takes what is written to it without a word on asyncio's own loop,
and the reader finds out. uvloop's raises RuntimeError, for which aiokafka is not prepared: it ended
the task that asks for the cluster's metadata, and with it a consumer that had to look for its
coordinator. Its worker stayed out of its group for ever, and went on with the partitions that
others had by then (found by ``trunkline soak``, issue 6).
"""

from __future__ import annotations

import functools
from typing import Any

from aiokafka.conn import AIOKafkaConnection, CloseReason
from aiokafka.errors import KafkaConnectionError


def tolerate_closed_transports() -> None:
    """Let connections of this process say that they are broken; may be called again."""
    for name in ("send", "_send_sasl_token"):
        write = getattr(AIOKafkaConnection, name)
        if not hasattr(write, "__wrapped__"):
            setattr(AIOKafkaConnection, name, _telling(write))


def _telling(write: Any) -> Any:
    @functools.wraps(write)
    def told(connection: Any, *arguments: Any, **options: Any) -> Any:
        writer = connection._writer
        try:
            return write(connection, *arguments, **options)
        except RuntimeError as error:
            if writer is None or not writer.transport.is_closing():
                raise
            connection.close(reason=CloseReason.CONNECTION_BROKEN)
            raise KafkaConnectionError(
                f"Connection at {connection.host}:{connection.port} broken: {error}"
            ) from error

    return told
