"""Write records into the open transaction of a link."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from itertools import islice, repeat
from typing import Any

from trunkline.delivery.partitioning import Partitioner
from trunkline.delivery.producer_call import OutRecord, RecordMetadata
from trunkline.delivery.producer_link import ProducerLink


async def write_in_order(
    link: ProducerLink, partitioner: Partitioner, records: Sequence[OutRecord]
) -> list[RecordMetadata]:
    """Write records, each partition's in their order; returns when all are acknowledged.

    Raises:
        KafkaError: A batch was refused; the transaction must not be committed.
        PublishError: A topic does not exist.

    """
    places: dict[tuple[str, int], list[int]] = {}
    topics: dict[str, list[int]] = {}
    for index, (topic, _, key, _, _, partition) in enumerate(records):
        known = topics.get(topic)
        if known is None:
            known = link.known_partitions(topic) or await link.partitions(topic)
            topics[topic] = known
        place = topic, partitioner.choose(key, known) if partition is None else partition
        places.setdefault(place, []).append(index)
    written = await asyncio.gather(
        *(
            _write_partition(link, place, [records[index] for index in indices])
            for place, indices in places.items()
        )
    )
    # A commit with a batch that failed would make the rest visible: aiokafka does not look.
    if len(written) == 1:
        return written[0]
    where: dict[int, RecordMetadata] = {}
    for indices, results in zip(places.values(), written, strict=True):
        where.update(zip(indices, results, strict=True))
    return [where[index] for index in range(len(records))]


async def _write_partition(
    link: ProducerLink, place: tuple[str, int], records: Sequence[OutRecord]
) -> list[RecordMetadata]:
    sent: list[tuple[int, asyncio.Future[Any]]] = []
    topic, partition = place
    start = 0
    while start < len(records):
        batch = link.new_batch()
        taken = _fill(batch, records, start)
        future = await link.send(batch, *place)
        # When a later batch is refused at once, nobody awaits this one any more.
        future.add_done_callback(_look_at)
        sent.append((taken, future))
        start += taken
    results: list[RecordMetadata] = []
    for taken, future in sent:
        offset = (await future).offset
        offsets = repeat(offset, taken) if offset < 0 else range(offset, offset + taken)
        results += map(RecordMetadata, repeat(topic), repeat(partition), offsets)
    return results


def _fill(batch: Any, records: Sequence[OutRecord], start: int) -> int:
    """Put records into the batch until it is full; returns how many."""
    append = batch.append
    taken = 0
    for _, value, key, headers, timestamp_ms, _ in islice(records, start, None):
        if not append(timestamp=timestamp_ms, key=key, value=value, headers=list(headers)):
            break
        taken += 1
    batch.close()
    return taken


def _look_at(future: asyncio.Future[Any]) -> None:
    """Keep asyncio from complaining that nobody asked for its exception."""
    if not future.cancelled():
        future.exception()
