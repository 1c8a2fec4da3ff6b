"""The SQL tables of the dlq service's index; ``tables/dead_letters.py`` has its rules."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Index, Integer, Table, Text

from tables.database import metadata
from tables.identities import identity_columns
from trunkline.dead_letters.index import STATUSES

#: A row per dead letter; its identity is its place in the dead letter topic.
dead_letters = Table(
    "dead_letters",
    metadata,
    *identity_columns(),
    Column("fingerprint", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("origin", Text),
    Column("origin_timestamp_ms", BigInteger),
    Column("group", Text, nullable=False),
    Column("exception", Text, nullable=False),
    Column("place", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("message", Text, nullable=False),
    Column("key", Text),
    Column("attempts", BigInteger),
    Column("redrives", BigInteger, nullable=False),
    Column("source", Text, nullable=False),
    Column("at_ms", BigInteger, nullable=False),
    Column("first_failed_at_ms", BigInteger),
    # A page of a fingerprint's letters, newest first, is a stretch of this index.
    Index(
        "dead_letters_by_fingerprint",
        *("fingerprint", "at_ms", "topic", "partition", "offset", "timestamp_ms"),
    ),
    sqlite_with_rowid=False,
)

dead_letter_fingerprints = Table(
    "dead_letter_fingerprints",
    metadata,
    Column("fingerprint", Text, primary_key=True),
    Column("topic", Text, nullable=False),
    Column("group", Text, nullable=False),
    Column("exception", Text, nullable=False),
    Column("place", Text, nullable=False),
    Column("message", Text, nullable=False),
    Column("count", BigInteger, nullable=False),
    *(Column(status, BigInteger, nullable=False) for status in STATUSES),
    Column("first_seen_ms", BigInteger, nullable=False),
    Column("last_seen_ms", BigInteger, nullable=False, index=True),
    sqlite_with_rowid=False,
)

#: The newest action in each place; it may come before its letter, which is in another topic.
dead_letter_actions = Table(
    "dead_letter_actions",
    metadata,
    Column("topic", Text, primary_key=True),
    Column("partition", Integer, primary_key=True),
    Column("offset", BigInteger, primary_key=True),
    Column("number", BigInteger, nullable=False),
    Column("status", Text, nullable=False),
    Column("timestamp_ms", BigInteger),
    sqlite_with_rowid=False,
)
