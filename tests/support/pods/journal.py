"""A worker that writes down what its handler was given, and does what the event says.

    TRUNKLINE_NAMESPACE=… POD_JOURNAL=/tmp/pod faust -A tests.support.pods.journal worker

It reads ``auth.registered``. What stands before the ``@`` of an event's email tells the handler:
``ok``, ``sleep-1.5`` (seconds), ``gate`` (wait until the file POD_GATE is there), ``deaf`` (the
same, and ignore cancellation), ``hang-2`` (for ever, at the second attempt, while the gate is
shut; fail before), ``block-1.5`` (stop the whole loop), ``fail`` (at every attempt),
``fail-2`` (at the first two), ``down`` (its dependency is, until the gate is open), ``permanent``,
``bad`` (the same until the gate is open), ``endtask-_fetch_task`` (of aiokafka's consumer).
Each line of the journal is ``<what> <monotonic seconds> <partition> <offset> <attempt> <key>``,
where *what* is ``start``, ``end``, ``failed`` or ``cancelled``; a line that is written survives
``kill -9``.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from agents.failing import failing_events
from models import UserRegistered
from tests.support.pods import JOURNAL_GROUP
from trunkline.delivery.app import DeliveryApp
from trunkline.delivery.event_loop import use_event_loop
from trunkline.delivery.handler import Context, Subscription
from trunkline.delivery.readiness import why_not_consuming
from trunkline.delivery.startstop import StartStop
from trunkline.delivery.stats import Rates, delivery_stats
from trunkline.errors import DependencyDown, Permanent
from trunkline.settings import load_settings
from trunkline.system.obedience import Obedience
from trunkline.system.reporter import Reporter
from trunkline.topology import AUTH_REGISTERED, Topology
from trunkline.web.status import status_routes


class Journal:
    """A file that is appended to with one system call a line."""

    def __init__(self, path: str) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)

    def write(self, what: str, context: Context) -> None:
        key = ascii((context.key or b"-").decode(errors="replace"))[1:-1]
        place = f"{context.partition} {context.offset} {context.attempt}"
        os.write(self._file, f"{what} {time.monotonic():.4f} {place} {key}\n".encode())


async def obey(event: UserRegistered, context: Context) -> None:  # noqa: C901  # a list of orders
    """Do what the event says."""
    order, _, value = event.email.partition("@")[0].partition("-")
    if order == "sleep":
        await asyncio.sleep(float(value))
    elif order == "gate":
        await wait_for_gate()
    elif order == "deaf":
        while not gate_is_open():
            with contextlib.suppress(asyncio.CancelledError):
                await wait_for_gate()
    elif order == "block":
        time.sleep(float(value))  # noqa: ASYNC251  # a handler that is no good citizen
    elif order == "hang":
        await hang(context.attempt, int(value))
    elif order == "fail" and context.attempt <= int(value or 1_000_000):
        raise RuntimeError("told to fail")
    elif order == "down" and not gate_is_open():
        raise DependencyDown("told to have no dependency")
    elif order == "endtask":
        end_task_of_client(value)
    elif order == "permanent" or (order == "bad" and not gate_is_open()):
        raise Permanent("told to fail for good")
    elif MOST_MS:
        await asyncio.sleep(random.random() * MOST_MS / 1000)


async def hang(attempt: int, last: int) -> None:
    """Fail before the last attempt, which never ends unless the gate was open when it began."""
    if attempt < last:
        raise RuntimeError("told to fail first")
    if not gate_is_open():
        await asyncio.Event().wait()


def end_task_of_client(name: str) -> None:
    """End one of the loops of which aiokafka's consumer consists."""
    thread = app.consumer._thread
    consumer = thread._consumer
    owners = (consumer._client, consumer._coordinator, consumer._fetcher)
    [task] = [getattr(owner, name) for owner in owners if hasattr(owner, name)]
    thread.thread_loop.call_soon_threadsafe(task.cancel)


def gate_is_open() -> bool:
    """Tell whether the test has opened the gate."""
    return GATE.exists()


async def wait_for_gate() -> None:
    """Return when the test has opened the gate."""
    while not gate_is_open():
        await asyncio.sleep(0.02)


async def one(event: UserRegistered, context: Context) -> None:
    """Handle an event and write it down."""
    JOURNAL.write("start", context)
    try:
        await obey(event, context)
    except asyncio.CancelledError:
        JOURNAL.write("cancelled", context)
        raise
    except Exception:
        JOURNAL.write("failed", context)
        raise
    JOURNAL.write("end", context)


async def batch(events: Sequence[UserRegistered], contexts: Sequence[Context]) -> None:
    """Handle a batch and write it down; it ends for all or for none."""
    for context in contexts:
        JOURNAL.write("start", context)
    for event, context in zip(events, contexts, strict=True):
        await obey(event, context)
    for context in contexts:
        JOURNAL.write("end", context)


def make_a_mistake(*_: object) -> None:
    """Raise what nobody thought of."""
    raise ZeroDivisionError("a mistake of ours")


class StartsLate:
    """Keeps a worker that has found its broker from going on until the gate is open."""

    async def start(self) -> None:
        """Wait."""
        JOURNAL.write("waits", Context("", 0, 0, 0))
        await wait_for_gate()

    async def stop(self) -> None:
        """Do nothing."""


def create_app() -> DeliveryApp:
    """Build the app from the environment, as ``app.py`` does for a service."""
    settings = load_settings()
    topology = Topology(settings.namespace)
    made = DeliveryApp(topology.real_name(JOURNAL_GROUP), settings)
    topic = topology.topic(AUTH_REGISTERED).name
    concurrency = int(os.environ.get("POD_CONCURRENCY", "1"))
    if os.environ.get("POD_SHAPE") == "batch":
        subscription = Subscription(topic, UserRegistered, batch, "batch", max_batch=50)
    else:
        subscription = Subscription(topic, UserRegistered, one, concurrency=concurrency)
    subscriptions = [subscription]
    if also := os.environ.get("POD_ALSO_READS"):
        subscriptions.append(Subscription(topology.topic(also).name, UserRegistered, one))
    made.subscribe(subscriptions, failing_events(made, topology, made.conf.id))
    if os.environ.get("POD_MISTAKE"):
        setattr(made.dispatcher, os.environ["POD_MISTAKE"], make_a_mistake)
    rates = Rates(made)
    made.before_consumer.append(rates)
    if os.environ.get("POD_STARTS_LATE"):
        made.before_consumer.append(StartStop(StartsLate()))

    def stats() -> dict[str, Any]:
        return delivery_stats(made, rates)

    def is_ready() -> tuple[bool, str]:
        if not made.gate.open:
            return False, "waiting for Kafka"
        reason = why_not_consuming(made)
        return not reason, reason

    if os.environ.get("POD_OBEYS"):
        workers = topology.workers_topic().name
        reporter = Reporter(settings, workers, stats, is_ready, consumes=lambda: True)
        made.before_consumer += [reporter, Obedience(made, topology, made.conf.id)]

    assert made.progress is not None
    routes = status_routes(stats, is_ready, made.progress.is_live)
    made.on_webserver_init = lambda web: web.web_app.add_routes(routes)
    return made


JOURNAL = Journal(os.environ["POD_JOURNAL"])
GATE = Path(os.environ.get("POD_GATE", "gate"))
MOST_MS = float(os.environ.get("POD_SLEEP_MS", "0"))
use_event_loop(load_settings())
app = create_app()
