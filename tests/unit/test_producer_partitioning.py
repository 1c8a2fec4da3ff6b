"""Partitions are those that every other Kafka client chooses."""

from __future__ import annotations

import pytest
from aiokafka.partitioner import murmur2 as murmur2_of_aiokafka
from hypothesis import given
from hypothesis import strategies as st

from trunkline.delivery.partitioning import Partitioner, murmur2


@given(st.binary(max_size=600))
def test_hashes_like_kafka(key):
    """Any key has the hash that aiokafka, and so Java's client, gives it."""
    assert murmur2(key) == murmur2_of_aiokafka(key) & 0x7FFFFFFF


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        (b"21", -973932308),
        (b"foobar", -790332482),
        (b"a-little-bit-long-string", -985981536),
        (b"a-little-bit-longer-string", -1486304829),
        (b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971),
        (b"abc", 479470107),
    ],
)
def test_hashes_kafkas_own_examples(key, expected):
    """The values of Kafka's UtilsTest.testMurmur2."""
    assert murmur2(key) == expected & 0x7FFFFFFF


def test_records_without_a_key_go_round():
    """Each partition gets its turn."""
    partitioner = Partitioner()
    assert [partitioner.choose(None, [0, 1, 2]) for _ in range(6)] == [0, 1, 2, 0, 1, 2]
    assert partitioner.choose(b"", [0, 1, 2]) == murmur2(b"") % 3, "an empty key is a key"
