"""One call of ``send_many``: what became of each of its records, and when it is over."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import NamedTuple

from aiokafka.record.default_records import DefaultRecordBatchBuilder

from trunkline.errors import PublishError

#: What a batch adds to its records.
_BATCH_HEADER_BYTES = 61
#: More than a record takes beside key, value and headers.
_RECORD_BYTES = 64


class OutRecord(NamedTuple):
    """A record on its way to Kafka.

    Attributes:
        topic: Real name of the topic.
        value: Bytes as they are to stand on the wire; None is a tombstone.
        key: Decides the partition; None goes round robin.
        headers: In order; a name may come more than once.
        timestamp_ms: When the event happened; None is now.
        partition: Overrides the key's.

    """

    topic: str
    value: bytes | None
    key: bytes | None = None
    headers: Sequence[tuple[str, bytes | None]] = ()
    timestamp_ms: int | None = None
    partition: int | None = None


class RecordMetadata(NamedTuple):
    """Where the broker put a record; the offset is -1 when it acknowledged a repetition."""

    topic: str
    partition: int
    offset: int


class NotAcknowledgedError(PublishError):
    """Some records of a call were not acknowledged.

    Attributes:
        topic: Topic of the first failure.
        partition: Its partition, or None when it was not known yet.
        reason: What the broker, or the wait for it, said; ``__cause__`` is the client's error.
        results: One entry per record of the call, in order: where it is, or None. A record with
            None may stand in the topic all the same when its acknowledgement was lost.

    """

    def __init__(
        self,
        topic: str,
        partition: int | None,
        reason: str,
        results: Sequence[RecordMetadata | None] = (),
    ) -> None:
        place = topic if partition is None else f"{topic}, partition {partition}"
        super().__init__(
            f"Not acknowledged by {place}: {reason}. Send again what is not acknowledged."
        )
        self.topic = topic
        self.partition = partition
        self.reason = reason
        self.results = results


class RecordTooLargeError(PublishError):
    """A record is larger than may be sent; nothing of the call was sent.

    Attributes:
        topic: Where it was to go.
        index: Position of the record in the call.
        size_bytes: Its size in a batch of its own.
        limit_bytes: The most that is allowed.

    """

    def __init__(self, topic: str, index: int, size_bytes: int, limit_bytes: int) -> None:
        super().__init__(
            f"Record {index} for topic {topic} takes {size_bytes} bytes with key, headers and "
            f"batch, and {limit_bytes} are allowed: nothing was sent. Make it smaller, or raise "
            "TRUNKLINE_MAX_EVENT_BYTES and the topic's max.message.bytes."
        )
        self.topic = topic
        self.index = index
        self.size_bytes = size_bytes
        self.limit_bytes = limit_bytes


def check_sizes(records: Sequence[OutRecord], limit_bytes: int) -> None:
    """Look at the sizes before anything is sent.

    Args:
        records: What is to be sent.
        limit_bytes: Most that a record may take in a batch of its own.

    Raises:
        RecordTooLargeError: A record takes more.

    """
    estimate = DefaultRecordBatchBuilder.estimate_size_in_bytes
    small = limit_bytes - _BATCH_HEADER_BYTES - _RECORD_BYTES
    for index, record in enumerate(records):
        # Nearly all records are far below the limit, and need not be measured exactly.
        if not record.headers and len(record.value or b"") + len(record.key or b"") < small:
            continue
        headers = list(record.headers) if record.headers else []
        size = estimate(record.key, record.value, headers) + _BATCH_HEADER_BYTES
        if size > limit_bytes:
            raise RecordTooLargeError(record.topic, index, size, limit_bytes)


class Call:
    """Records that were handed in together, and the future that their sender awaits.

    It is over when every record is acknowledged, or when it has failed and no batch with a record
    of it is in flight: only then is it certain that nothing of it is sent any more.
    """

    def __init__(self, records: Sequence[OutRecord]) -> None:
        self._loop = asyncio.get_running_loop()
        self.records = records
        self.first_topic = records[0].topic
        self.results: list[RecordMetadata | None] = [None] * len(records)
        self.error: NotAcknowledgedError | None = None
        self.future: asyncio.Future[list[RecordMetadata]] = self._loop.create_future()
        self._left = len(records)
        self._in_flight = 0
        self._progress_at = self._loop.time()

    @property
    def failed(self) -> bool:
        """Whether no more of its records may be sent."""
        return self.error is not None

    @property
    def over(self) -> bool:
        """Whether all is acknowledged, or it failed and nothing of it is on its way."""
        return not self._in_flight and (self.failed or not self._left)

    def waited_s(self) -> float:
        """Return the time since it began, or since its latest acknowledgement."""
        return self._loop.time() - self._progress_at

    def took_off(self) -> None:
        """Note that a batch with records of this call is on its way."""
        self._in_flight += 1

    def landed(self) -> None:
        """Note that such a batch has an end, good or bad."""
        self._in_flight -= 1
        self._finish_if_over()

    def acknowledge(self, topic: str, partition: int, indices: Sequence[int], offset: int) -> None:
        """Note where records are: the first at this offset, the others behind it."""
        step = 0 if offset < 0 else 1
        for index in indices:
            self.results[index] = RecordMetadata(topic, partition, offset)
            offset += step
        self._left -= len(indices)
        self._progress_at = self._loop.time()

    def fail(
        self, topic: str, partition: int | None, reason: str, cause: BaseException | None = None
    ) -> None:
        """Send no more of this call; it ends when what is in flight has ended."""
        if self.error is None:
            self.error = NotAcknowledgedError(topic, partition, reason, self.results)
            self.error.__cause__ = cause
        self._finish_if_over()

    def _finish_if_over(self) -> None:
        if not self.over:
            return
        self.records = ()
        if self.future.done():
            return  # its sender was cancelled
        if self.error is not None and self._left:
            self.future.set_exception(self.error)
        else:
            self.future.set_result([result for result in self.results if result is not None])
