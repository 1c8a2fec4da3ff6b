"""Spans for what becomes of an event: one trace from its publishing to its redrive.

Every hop's span is a child of the context in the record's ``traceparent`` header, which is the
publisher's and stays the same through retries, dead letters and redrives, as all of an event's
headers do. So a record alone is enough to go on with its trace, in whichever process, days later.
An event that was published without one begins a trace at each hop; its id is an attribute.

Names and attributes are those of OpenTelemetry's semantic conventions for messaging. Keys and
values of events are not told.
"""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from opentelemetry.context import Context as TraceContext
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import Span, SpanKind, StatusCode, get_current_span, set_span_in_context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from trunkline import __version__
from trunkline.delivery.handler import Context, Handler, Subscription
from trunkline.delivery.producer_call import OutRecord
from trunkline.retries.failures import DeadBatch
from trunkline.retries.records import context_of

_TRACEPARENT = "traceparent"
_FLUSH_S = 1.5
_POLL_S = 0.02
_NO_PARENT = TraceContext()
_propagator = TraceContextTextMapPropagator()


def exporting(service: str, pod: str) -> Tracing:
    """Return what makes spans and sends them where the ``OTEL_*`` variables say."""
    named = {"service.name": service, "service.instance.id": pod, "service.version": __version__}
    given = os.environ.get("OTEL_RESOURCE_ATTRIBUTES", "")
    if os.environ.get("OTEL_SERVICE_NAME"):
        del named["service.name"]
    kept = {name: value for name, value in named.items() if f"{name}=" not in given}
    return Tracing(BatchSpanProcessor(OTLPSpanExporter()), Resource.create(kept))


class Tracing:
    """Makes the spans of one process.

    Args:
        processor: Takes the spans that have ended.
        resource: Says whose they are.

    """

    def __init__(self, processor: SpanProcessor, resource: Resource | None = None) -> None:
        # At exit it would wait for a collector that is gone; ``stop`` has a limit.
        self._provider = TracerProvider(resource=resource, shutdown_on_exit=False)
        self._provider.add_span_processor(processor)
        self._tracer = self._provider.get_tracer("trunkline", __version__)

    async def start(self) -> None:
        """Do nothing: spans are made as they come."""

    async def stop(self) -> None:
        """Send what has ended, within a second and a half: no collector may hold up a worker.

        The SDK's own flush takes no notice of the time limit that it is given (its issue 4568), so
        it runs in a thread that is left behind.
        """
        sending = threading.Thread(target=self._provider.force_flush, name="traces", daemon=True)
        sending.start()
        give_up_at = time.monotonic() + _FLUSH_S
        while sending.is_alive() and time.monotonic() < give_up_at:
            await asyncio.sleep(_POLL_S)

    # -- publishing

    @contextmanager
    def publishing(self, topic: str, count: int, traceparent: str | None) -> Iterator[str | None]:
        """Give the ``traceparent`` that records of one post carry; its span ends with the block.

        Args:
            topic: Real name of the topic.
            count: How many events.
            traceparent: What the post came with.

        """
        attributes = _destination(topic, "publish", "send")
        if count > 1:
            attributes["messaging.batch.message_count"] = count
        with self._tracer.start_as_current_span(
            f"publish {topic}", _parent(traceparent), SpanKind.PRODUCER, attributes
        ) as span:
            yield _traceparent_of(span)

    # -- handling

    def traced(self, subscription: Subscription, group: str) -> Subscription:
        """Return a subscription whose handler's calls have spans: first attempts and retries.

        A batch has a span for each of its events that was published with a sampled trace.
        """
        wants = subscription.wants_context
        if subscription.shape == "batch":
            handler = self._batch(subscription.handler, group, wants_context=wants)
        else:
            handler = self._one(subscription.handler, group, wants_context=wants)
        return replace(subscription, handler=handler)

    def _one(self, handler: Handler, group: str, *, wants_context: bool) -> Handler:
        async def one(event: Any, context: Context) -> None:
            with (
                self._tracer.start_as_current_span(
                    _name(context),
                    _parent(context.traceparent),
                    SpanKind.CONSUMER,
                    _processing(context, group),
                ) as span,
                _telling(span),
            ):
                await (handler(event, context) if wants_context else handler(event))

        return one

    def _batch(self, handler: Handler, group: str, *, wants_context: bool) -> Handler:
        async def batch(events: list[Any], contexts: list[Context]) -> None:
            began_ns = time.time_ns()
            failed: BaseException | None = None
            try:
                await (handler(events, contexts) if wants_context else handler(events))
            except BaseException as error:
                failed = error
                raise
            finally:
                for context in contexts:
                    self._note_one_of(contexts, context, group, began_ns, failed)

        return batch

    def _note_one_of(
        self,
        contexts: Sequence[Context],
        context: Context,
        group: str,
        began_ns: int,
        failed: BaseException | None,
    ) -> None:
        parent = _parent(context.traceparent)
        if (
            len(contexts) > 1
            and not get_current_span(parent).get_span_context().trace_flags.sampled
        ):
            return
        if len(contexts) > 1 and failed is not None:
            return  # nobody knows which it was: each is handled by itself next
        attributes = _processing(context, group)
        attributes["messaging.batch.message_count"] = len(contexts)
        span = self._tracer.start_span(
            _name(context), parent, SpanKind.CONSUMER, attributes, start_time=began_ns
        )
        if failed is not None:
            _tell(span, failed)
            span.record_exception(failed)
        span.end()

    # -- dead letters

    def burying(
        self, forward: Callable[[DeadBatch], None], group: str
    ) -> Callable[[DeadBatch], None]:
        """Return the dead letters agent, with a span for each dead letter that it makes."""

        def bury(batch: DeadBatch) -> None:
            def buried(letters: Sequence[OutRecord]) -> None:
                batch.bury(letters)
                for entry, letter in zip(batch.entries, letters, strict=True):
                    context = context_of(entry)
                    attributes = _destination(letter.topic, "dead letter", "send")
                    attributes |= _of_event(context, group)
                    if error := entry.state.last_error:
                        attributes["error.type"] = error.exception or error.kind
                    self._moment(f"dead letter {letter.topic}", context.traceparent, attributes)

            forward(replace(batch, bury=buried))

        return bury

    def redriven(self, records: Sequence[OutRecord]) -> None:
        """Make a span for each dead letter that was given back to its group.

        Args:
            records: What was written to the failures topics.

        """
        for record in records:
            headers = {name: value for name, value in record.headers if value is not None}
            attributes = _destination(record.topic, "redrive", "send")
            group = headers.get("trunkline.group", b"")
            attributes["messaging.consumer.group.name"] = group.decode(errors="replace")
            traceparent = headers.get(_TRACEPARENT, b"").decode(errors="replace")
            self._moment(f"redrive {record.topic}", traceparent, attributes)

    def _moment(self, name: str, traceparent: str | None, attributes: Mapping[str, Any]) -> None:
        self._tracer.start_span(name, _parent(traceparent), SpanKind.PRODUCER, attributes).end()


def _parent(traceparent: str | None) -> TraceContext:
    """Return the context to be a child of; never the one of whatever runs around it."""
    if not traceparent:
        return _NO_PARENT
    return _propagator.extract({_TRACEPARENT: traceparent}, _NO_PARENT)


def _traceparent_of(span: Span) -> str | None:
    carrier: dict[str, str] = {}
    _propagator.inject(carrier, set_span_in_context(span, _NO_PARENT))
    return carrier.get(_TRACEPARENT)


def _name(context: Context) -> str:
    is_first = context.attempt == 1 and not context.redrives
    return f"{'process' if is_first else 'retry'} {context.topic}"


@contextmanager
def _telling(span: Span) -> Iterator[None]:
    try:
        yield
    except Exception as error:
        _tell(span, error)
        raise


def _tell(span: Span, error: BaseException) -> None:
    span.set_attribute("error.type", f"{type(error).__module__}.{type(error).__qualname__}")
    span.set_status(StatusCode.ERROR, type(error).__qualname__)


def _processing(context: Context, group: str) -> dict[str, Any]:
    attributes = _destination(context.topic, "process", "process")
    attributes |= _of_event(context, group)
    attributes["messaging.destination.partition.id"] = str(context.partition)
    attributes["messaging.kafka.offset"] = context.offset
    attributes["messaging.message.body.size"] = len(context.value or b"")
    return attributes


def _of_event(context: Context, group: str) -> dict[str, Any]:
    return {
        "messaging.consumer.group.name": group,
        "messaging.message.id": f"{context.topic}[{context.partition}]@{context.offset}",
        "trunkline.attempt": context.attempt,
        "trunkline.redrives": context.redrives,
    }


def _destination(topic: str, name: str, kind: str) -> dict[str, Any]:
    return {
        "messaging.system": "kafka",
        "messaging.destination.name": topic,
        "messaging.operation.name": name,
        "messaging.operation.type": kind,
    }
