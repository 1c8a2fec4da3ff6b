"""The publisher of one process: what the HTTP endpoint hands its posts to."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Protocol

from trunkline.delivery.producer import OutRecord, RecordMetadata, RecordProducer
from trunkline.delivery.transactions import TransactionalProducer
from trunkline.errors import BrokerError, PublishError
from trunkline.publishing.errors import UnavailableError
from trunkline.publishing.events import EventReader, PreparedEvent
from trunkline.settings import Settings
from trunkline.topology import Topology

logger = logging.getLogger(__name__)

_RETRY_S = 1.0
_PROBE_S = 3.0
#: What Kafka may add to an event of the largest size: batch header and trace header.
_OVERHEAD_BYTES = 4096


class PublishTracing(Protocol):
    """What of :class:`trunkline.tracing.spans.Tracing` a publisher needs."""

    def publishing(
        self, topic: str, count: int, traceparent: str | None
    ) -> AbstractContextManager[str | None]:
        """Give the trace context that the records of one post carry."""


class PublisherService:
    """Publishes posts for one service: an event by itself, several of them atomically.

    It starts without a broker, and connects when there is one; until then, and whenever the broker
    is known to be away, posts are refused at once instead of waiting.

    Args:
        settings: Where Kafka is, how long to wait, how much to hold.
        topology: The topics.
        service: Name of the publishing service; decides the topics and the events' ``source``.

    Raises:
        ConfigurationError: The service is unknown.

    """

    def __init__(self, settings: Settings, topology: Topology, service: str) -> None:
        declared = topology.service(service)
        self.service = service
        self.topology = topology
        self.settings = settings
        self.readers = {
            name: EventReader(topology.topic(name), service, settings.max_event_bytes)
            for name in declared.publishes
        }
        #: Makes spans of posts; None when no traces are asked for.
        self.tracing: PublishTracing | None = None
        self.accepted: Counter[str] = Counter()
        self.refused: Counter[str] = Counter()
        self.failed: Counter[str] = Counter()
        self.in_flight_bytes = 0
        self._single: RecordProducer | None = None
        self._lists: TransactionalProducer | None = None
        self._reachable = False
        self._keeper: asyncio.Task[None] | None = None

    @property
    def ready(self) -> bool:
        """Whether posts are taken: the broker was there when it was last asked."""
        single, lists = self._single, self._lists
        return bool(self._reachable and single and single.connected and lists and lists.connected)

    async def start(self) -> None:
        """Begin to connect; returns at once, whether the broker is there or not."""
        options: dict[str, Any] = {
            "connection": self.settings.connection,
            "client_id": f"{self.settings.pod_name}.publisher",
            "max_request_bytes": self.settings.max_event_bytes + _OVERHEAD_BYTES,
            "metadata_max_age_s": self.settings.metadata_max_age_s,
        }
        timeout_s = self.settings.publish_timeout_s
        self._single = RecordProducer(request_timeout_s=timeout_s, **options)
        self._lists = TransactionalProducer(
            transactional_id=f"{self.topology.publishers_id(self.service)}{self.settings.pod_name}",
            timeout_s=timeout_s,
            **options,
        )
        self._keeper = asyncio.create_task(self._keep_connected(), name="publisher")

    async def stop(self, timeout_s: float = 2.0) -> None:
        """Finish what was taken within this time, and end."""
        self._reachable = False
        if self._keeper is not None:
            self._keeper.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._keeper
        stopping = [p.stop(timeout_s) for p in (self._single, self._lists) if p is not None]
        await asyncio.gather(*stopping)

    async def publish(
        self, topic: str, events: Sequence[PreparedEvent], traceparent: str | None = None
    ) -> list[RecordMetadata]:
        """Publish one event, or several of which all become visible or none.

        Args:
            topic: Plain name of one of the service's topics.
            events: What the topic's reader has prepared.
            traceparent: W3C trace context to send along as a header.

        Raises:
            UnavailableError: Kafka is away; nothing was tried.
            PublishError: It was not acknowledged in time, or refused; the events must be sent
                again. They are not visible, unless an acknowledgement was lost.

        """
        single, lists = self._single, self._lists
        if not self.ready or single is None or lists is None:
            self.failed[topic] += len(events)
            raise UnavailableError("Kafka is away.", retry_after_s=2)
        name = self.readers[topic].topic.name
        send = single.send_many if len(events) == 1 else lists.send_atomically
        try:
            with self._span(name, len(events), traceparent) as passed_on:
                trace = [("traceparent", passed_on.encode())] if passed_on else []
                places = await send(
                    [
                        OutRecord(name, event.value, event.key, [*event.headers, *trace])
                        for event in events
                    ]
                )
        except PublishError:
            self.failed[topic] += len(events)
            raise
        self.accepted[topic] += len(events)
        return places

    def _span(
        self, topic: str, count: int, traceparent: str | None
    ) -> AbstractContextManager[str | None]:
        if self.tracing is None:
            return contextlib.nullcontext(traceparent)
        return self.tracing.publishing(topic, count, traceparent)

    @contextmanager
    def holding(self) -> Iterator[Hold]:
        """Account for a post's bytes for as long as it is held."""
        hold = Hold(self)
        try:
            yield hold
        finally:
            self.in_flight_bytes -= hold.size_bytes

    def stats(self) -> dict[str, object]:
        """Return what ``/stats`` shows: events by plain topic name."""
        return {
            "ready": self.ready,
            "accepted": {topic: self.accepted[topic] for topic in self.readers},
            "refused": dict(self.refused),
            "failed": {topic: self.failed[topic] for topic in self.readers},
            "in_flight_bytes": self.in_flight_bytes,
        }

    async def _keep_connected(self) -> None:
        await self._connect()
        while True:
            was, self._reachable = self._reachable, await self._is_reachable()
            if was != self._reachable:
                logger.warning("Kafka is %s", "there again" if self._reachable else "away")
            await asyncio.sleep(_PROBE_S if self._reachable else _RETRY_S)

    async def _connect(self) -> None:
        assert self._single is not None
        assert self._lists is not None
        said = False
        while not self._reachable:
            try:
                await self._single.start()
                await self._lists.start()
                self._reachable = True
            except BrokerError as error:
                if not said:
                    logger.warning("%s It is tried until it is there.", error)
                said = True
                await asyncio.sleep(_RETRY_S)

    async def _is_reachable(self) -> bool:
        return self._single is not None and await self._single.reaches_broker(_PROBE_S)


class Hold:
    """A post's share of the bytes that may be held."""

    def __init__(self, publisher: PublisherService) -> None:
        self._publisher = publisher
        self.size_bytes = 0

    def add(self, size_bytes: int) -> None:
        """Take more.

        Raises:
            UnavailableError: All posts together would hold too much.

        """
        limit = self._publisher.settings.max_in_flight_bytes
        if self._publisher.in_flight_bytes + size_bytes > limit:
            raise UnavailableError("Too many posts are being published at once.")
        self._publisher.in_flight_bytes += size_bytes
        self.size_bytes += size_bytes
