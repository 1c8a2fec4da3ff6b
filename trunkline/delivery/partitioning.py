"""Which partition a record goes to: the same one that Java's client, kafkajs and librdkafka choose.

Keyed records go by murmur2 of the key (Java's ``DefaultPartitioner``, kafkajs 2's default,
librdkafka's ``murmur2_random``), so that a user's events stay in order whoever publishes them.
kcat must be told (``-X partitioner=murmur2_random``): librdkafka's own default is CRC32.
Records without a key go round robin: they have no order to keep.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from itertools import count
from struct import Struct

_SEED = 0x9747B28C
_M = 0x5BD1E995
_MASK = 0xFFFFFFFF
#: Of longer keys the hash of so many bytes is remembered by itself; whole words.
_PREFIX_BYTES = 32
#: Unpackers of 0 to 64 little-endian words: keys of up to 259 bytes.
_WORDS = [Struct(f"<{words}I") for words in range(65)]


@lru_cache(maxsize=16_384)
def murmur2(key: bytes) -> int:
    """Return Kafka's murmur2 hash of a key, made positive as Kafka does it.

    Word by word and remembered: aiokafka's, byte by byte, takes three times as long, and was a
    third of the time that a record needs to get into a batch.
    """
    length, tail = len(key), len(key) & 3
    if length > _PREFIX_BYTES:
        h = _mixed(_prefix_hash(length, key[:_PREFIX_BYTES]), key[_PREFIX_BYTES:])
    else:
        h = _mixed(_SEED ^ length, key)
    if tail:
        h = (h ^ int.from_bytes(key[-tail:], "little")) * _M & _MASK
    h = (h ^ h >> 13) * _M & _MASK
    return (h ^ h >> 15) & 0x7FFFFFFF


@lru_cache(maxsize=1_024)
def _prefix_hash(length: int, prefix: bytes) -> int:
    """Return the hash so far of the first words of a long key.

    Long keys are made of a topic and what is in it (those of the held keys are), so that many of
    them begin alike.
    """
    return _mixed(_SEED ^ length, prefix)


def _mixed(h: int, key: bytes) -> int:
    """Mix the whole words of a key into a hash."""
    words = len(key) >> 2
    unpacker = _WORDS[words] if words < len(_WORDS) else Struct(f"<{words}I")
    for word in unpacker.unpack_from(key):
        k = word * _M & _MASK
        h = (h * _M & _MASK) ^ ((k ^ k >> 24) * _M & _MASK)
    return h


class Partitioner:
    """Chooses partitions for one producer."""

    def __init__(self) -> None:
        self._turn = count()

    def choose(self, key: bytes | None, partitions: Sequence[int]) -> int:
        """Return the key's partition, or the next one in turn when there is no key.

        Args:
            key: The record's key.
            partitions: All partitions of the topic, ascending.

        """
        number = next(self._turn) if key is None else murmur2(key)
        return partitions[number % len(partitions)]
