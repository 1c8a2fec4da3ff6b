"""A worker that writes down what its handler was given, and does what the event says.

    TRUNKLINE_NAMESPACE=… POD_JOURNAL=/tmp/pod faust -A tests.support.pods.journal worker

It reads ``auth.registered``. What stands before the ``@`` of an event's email tells the handler:
``ok``, ``sleep-1.5`` (seconds), ``hang``, ``fail`` or ``permanent``. Each line of the journal is
``<what> <monotonic seconds> <partition> <offset> <key>``, where *what* is ``start``, ``end``,
``failed`` or ``cancelled``; a line that is written survives ``kill -9``.
"""

from __future__ import annotations

import asyncio
import os
import random
import time
from collections.abc import Sequence
from typing import Any

from models import UserRegistered
from tests.support.pods import JOURNAL_GROUP
from trunkline.delivery.app import DeliveryApp
from trunkline.delivery.handler import Context, Subscription
from trunkline.delivery.producer import RecordProducer
from trunkline.delivery.stats import Rates, delivery_stats
from trunkline.errors import Permanent
from trunkline.settings import load_settings
from trunkline.topology import AUTH_REGISTERED, Topology
from trunkline.web.status import status_routes

class Journal:
    """A file that is appended to with one system call a line."""

    def __init__(self, path: str) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)

    def write(self, what: str, context: Context) -> None:
        key = (context.key or b"-").decode(errors="replace")
        line = f"{what} {time.monotonic():.4f} {context.partition} {context.offset} {key}\n"
        os.write(self._file, line.encode())


async def obey(event: UserRegistered) -> None:
    """Do what the event says."""
    order, _, value = event.email.partition("@")[0].partition("-")
    if order == "sleep":
        await asyncio.sleep(float(value))
    elif order == "hang":
        await asyncio.Event().wait()
    elif order == "fail":
        raise RuntimeError("told to fail")
    elif order == "permanent":
        raise Permanent("told to fail for good")
    elif MOST_MS:
        await asyncio.sleep(random.random() * MOST_MS / 1000)


async def one(event: UserRegistered, context: Context) -> None:
    """Handle an event and write it down."""
    JOURNAL.write("start", context)
    try:
        await obey(event)
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
    for event in events:
        await obey(event)
    for context in contexts:
        JOURNAL.write("end", context)


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
    producer = RecordProducer(settings.bootstrap_servers, f"{settings.pod_name}.failures")
    made.subscribe([subscription], producer, topology.failures_topic(made.conf.id).name)
    rates = Rates(made)
    made.before_consumer.append(rates)

    def stats() -> dict[str, Any]:
        return delivery_stats(made, rates)

    def is_ready() -> tuple[bool, str]:
        return made.gate.open and made.has_assignment and not made.rebalancing, "told by Faust"

    made.on_webserver_init = lambda web: web.web_app.add_routes(status_routes(stats, is_ready))
    return made


JOURNAL = Journal(os.environ["POD_JOURNAL"])
MOST_MS = float(os.environ.get("POD_SLEEP_MS", "0"))
app = create_app()
