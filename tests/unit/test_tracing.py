"""Traces: one over all hops of an event, nothing without being asked for."""

from __future__ import annotations

import logging
import subprocess
import sys
import time
from dataclasses import replace

import pytest
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode

from models import UserRegistered
from models.failures import WIRE_VERSION, ErrorInfo, EventId, RetryEntry, RetryState
from trunkline.delivery.handler import Context, Subscription
from trunkline.delivery.producer_call import OutRecord
from trunkline.errors import Permanent
from trunkline.retries.failures import DeadBatch
from trunkline.tracing.setup import tracing_for
from trunkline.tracing.spans import Tracing

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
SAMPLED = f"00-{TRACE}-00f067aa0ba902b7-01"
NOT_SAMPLED = f"00-{TRACE}-00f067aa0ba902b7-00"


@pytest.fixture
def exporter():
    return InMemorySpanExporter()


@pytest.fixture
def tracing(exporter):
    return Tracing(SimpleSpanProcessor(exporter))


def context(offset=7, traceparent=SAMPLED, **options):
    headers = (("traceparent", traceparent.encode()),) if traceparent else ()
    return Context("auth.registered", 1, offset, 1, b"secret", b"{}", headers, **options)


def told(exporter):
    return [(span.name, f"{span.context.trace_id:032x}") for span in exporter.get_finished_spans()]


async def test_all_hops_of_an_event_are_in_its_publishers_trace(tracing, exporter):
    """Published, handled, tried again, dead, redriven: each is a child of the record's context."""

    async def handle(event, context):
        if context.attempt == 1:
            raise RuntimeError("no")

    with tracing.publishing("auth.registered", 1, SAMPLED) as passed_on:
        assert passed_on.split("-")[1] == TRACE
        assert passed_on != SAMPLED
    traced = tracing.traced(Subscription("auth.registered", UserRegistered, handle), "g").handler
    with pytest.raises(RuntimeError):
        await traced(None, context(traceparent=passed_on))
    await traced(None, context(traceparent=passed_on, attempt=2))
    bury(tracing, passed_on)
    headers = [("traceparent", passed_on.encode()), ("trunkline.group", b"g")]
    tracing.redriven([OutRecord("g.failures", b"{}", headers=headers)])
    assert told(exporter) == [
        ("publish auth.registered", TRACE),
        ("process auth.registered", TRACE),
        ("retry auth.registered", TRACE),
        ("dead letter dlq.auth.registered", TRACE),
        ("redrive g.failures", TRACE),
    ]
    published, processed, retried, *_ = exporter.get_finished_spans()
    assert {span.parent.span_id for span in exporter.get_finished_spans()[1:]} == {
        published.context.span_id
    }
    assert processed.status.status_code is StatusCode.ERROR
    assert processed.attributes["error.type"] == "builtins.RuntimeError"
    assert retried.status.status_code is StatusCode.UNSET
    assert retried.attributes["trunkline.attempt"] == 2
    assert processed.attributes["messaging.message.id"] == "auth.registered[1]@7"
    assert "secret" not in str([span.to_json() for span in exporter.get_finished_spans()])


def bury(tracing, traceparent):
    error = ErrorInfo("permanent", "x.Broken", "no", "", 1)
    entry = RetryEntry(
        WIRE_VERSION,
        EventId("auth.registered", 1, 7, 1),
        b"secret",
        b"{}",
        (("traceparent", traceparent.encode()),),
        False,
        0,
        0,
        0,
        RetryState(2, 0, error, error, True),
    )
    buried = []

    def forward(batch):
        batch.bury([OutRecord("dlq.auth.registered", e.value) for e in batch.entries])

    tracing.burying(forward, "g")(DeadBatch([entry], buried.extend))
    assert [letter.topic for letter in buried] == ["dlq.auth.registered"]


async def test_a_batch_has_a_span_for_each_event_whose_trace_is_sampled(tracing, exporter):
    """The others cost nothing; a batch that fails is told event by event afterwards."""

    async def handle(events):
        if None in events:
            raise Permanent("no")

    subscription = Subscription("auth.registered", UserRegistered, handle, "batch")
    traced = tracing.traced(subscription, "g")
    assert traced.wants_context
    contexts = [context(0), context(1, NOT_SAMPLED), context(2, None), context(3)]
    await traced.handler([1, 2, 3, 4], contexts)
    offsets = [s.attributes["messaging.kafka.offset"] for s in exporter.get_finished_spans()]
    assert offsets == [0, 3]
    exporter.clear()
    with pytest.raises(Permanent):
        await traced.handler([1, None], contexts[:2])
    assert told(exporter) == []
    with pytest.raises(Permanent):
        await traced.handler([None], [contexts[0]])
    (span,) = exporter.get_finished_spans()
    assert span.status.status_code is StatusCode.ERROR


async def test_an_event_without_a_trace_begins_one(tracing, exporter):
    """It is no child of whatever was handled before it."""

    async def handle(event):
        pass

    traced = tracing.traced(Subscription("t", UserRegistered, handle), "g").handler
    await traced(None, context(traceparent=None))
    await traced(None, context(traceparent=None))
    traces = [trace for _, trace in told(exporter)]
    assert len(set(traces)) == 2
    assert all(span.parent is None for span in exporter.get_finished_spans())


async def test_the_handler_is_called_as_it_wants_to_be(tracing):
    """With its context or without, one event or a batch."""
    seen = []

    async def one(event):
        seen.append(event)

    async def with_context(event, context):
        seen.append((event, context))

    for handler in (one, with_context):
        subscription = Subscription("t", UserRegistered, handler)
        await tracing.traced(subscription, "g").handler("e", context())
        await tracing.traced(replace(subscription, shape="batch"), "g").handler(["e"], [context()])
    assert seen == ["e", ["e"], ("e", context()), (["e"], [context()])]


def test_nothing_is_imported_unless_traces_are_asked_for():
    """The extra need not even be installed."""
    code = (
        "import sys, app; app.create_app('db-server'); "
        "sys.exit(any(name.startswith('opentelemetry.sdk') for name in sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({}, ""),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://x", "OTEL_SDK_DISABLED": "true"}, ""),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://x", "OTEL_TRACES_EXPORTER": "none"}, ""),
        (
            {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://x", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"},
            "OTLP over 'grpc' is not supported",
        ),
    ],
)
def test_traces_are_off_when_the_variables_do_not_ask_for_them(
    variables, said, monkeypatch, caplog
):
    """What cannot be done is said, and costs no worker its start."""
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with caplog.at_level(logging.WARNING):
        assert tracing_for("s", "s-1") is None
    assert said in caplog.text


def test_a_missing_extra_is_said_and_the_worker_starts(monkeypatch, caplog):
    """Collectors' addresses are often set for a whole cluster."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1")
    monkeypatch.setitem(sys.modules, "trunkline.tracing.spans", None)
    assert tracing_for("s", "s-1") is None
    assert "Install 'trunkline[otel]'" in caplog.text


async def test_a_collector_that_hangs_does_not_hold_up_the_end():
    """A worker has ten seconds for all that it must do."""

    class Hangs(InMemorySpanExporter):
        def export(self, spans):
            time.sleep(30)

    class Lazy(SimpleSpanProcessor):
        def on_end(self, span):
            pass

        def force_flush(self, timeout_millis=30000):
            self.span_exporter.export(())
            return True

    tracing = Tracing(Lazy(Hangs()))
    began = time.monotonic()
    await tracing.stop()
    assert time.monotonic() - began < 3
