"""What a Faust stream carries for our topics: all the records of one partition from one fetch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from faust.types import TP

from trunkline.delivery.offsets import OffsetTracker


@dataclass(frozen=True, slots=True)
class Batch:
    """Records of one partition in the order of their offsets, keys and values as raw bytes.

    Attributes:
        tp: Topic and partition.
        records: As aiokafka reads them: ``offset``, ``timestamp``, ``key``, ``value``, ``headers``.
        tracker: The offsets of the assignment under which they were fetched; a batch of an older
            assignment has a closed one and must not be handled.

    """

    tp: TP
    records: list[Any]
    tracker: OffsetTracker
