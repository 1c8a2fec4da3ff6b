"""What makes an event that event in SQL: where it stands in Kafka, never its value.

Two equal events are two events; one event delivered twice is one.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import BigInteger, Column, Integer, Text

from trunkline.delivery.handler import Context
from trunkline.errors import Permanent

Identity = tuple[str, int, int, int]


def identity_columns() -> list[Column[Any]]:
    """Return the columns of the primary key, in the order of :func:`identity_of`.

    Rows of one partition come in the order of offsets, so the key's index grows at its end.
    """
    return [
        Column("topic", Text, primary_key=True),
        Column("partition", Integer, primary_key=True),
        Column("offset", BigInteger, primary_key=True),
        Column("timestamp_ms", BigInteger, primary_key=True),
    ]


def identity_of(context: Context) -> Identity:
    """Return topic, partition, offset and timestamp of the record as it was published."""
    return (context.topic, context.partition, context.offset, context.timestamp_ms)


def identity_values(identity: Identity) -> dict[str, str | int]:
    """Return an identity as values of :func:`identity_columns`."""
    return dict(zip(("topic", "partition", "offset", "timestamp_ms"), identity, strict=True))


def storable(value: str, field: str, context: Context) -> str:
    """Return a text that every database can store.

    SQLite would take a NUL character and then cut the text at it in some functions; PostgreSQL
    refuses it. Neither takes half a surrogate pair. Both are refused for both, so that a move to
    PostgreSQL meets no surprise.

    Args:
        value: The text.
        field: JSON path of the field, for the message.
        context: Where the event came from, for the message.

    Raises:
        Permanent: The text has a NUL character or half a surrogate pair.

    """
    problem = "a NUL character" if "\0" in value else _lone_surrogate(value)
    if problem:
        raise Permanent(
            f"{context.topic}[{context.partition}] at offset {context.offset}: {field} has "
            f"{problem}, which no database can store. Publish the event again without it."
        )
    return value


def _lone_surrogate(value: str) -> str:
    if value.isascii():
        return ""
    try:
        value.encode()
    except UnicodeEncodeError as error:
        return f"half a surrogate pair at character {error.start}"
    return ""
