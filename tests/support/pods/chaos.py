"""A worker whose handler fails as the seed says and writes down every attempt (tests/chaos).

CHAOS_GROUP=chaos-keys CHAOS_SEED=7 CHAOS_JOURNAL=… faust -A tests.support.pods.chaos worker
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from typing import Any

from agents.failing import failing_events
from models import Event, OrderCreated, UserRegistered
from tables.database import Database
from tables.orders import Orders
from tables.users import Users
from tests.chaos.fates import Place, Verdict, chance, verdict
from tests.chaos.groups import CONCURRENCY, KEYS, MAX_BATCH, ROWS, chaos_topology
from tests.chaos.journals import (
    BROKE,
    CANCELLED,
    END,
    FAILED,
    REDO,
    START,
    JournalFile,
    shown,
)
from trunkline.delivery.app import DeliveryApp
from trunkline.delivery.event_loop import use_event_loop
from trunkline.delivery.handler import Context, Subscription
from trunkline.delivery.startstop import StartStop
from trunkline.delivery.stats import Rates, delivery_stats
from trunkline.errors import Permanent
from trunkline.settings import load_settings
from trunkline.web.status import status_routes

#: Some attempts take long enough for a kill to hit them.
_SLOW, _SLOW_S = 0.01, 0.3
_SOME, _SOME_S = 0.1, 0.01


class ToldToFailError(Exception):
    """The attempt's verdict is ``transient``."""


def place_of(context: Context) -> Place:
    """Return an event's place under the plain name of its topic."""
    return Place(TOPOLOGY.plain_name(context.topic), context.partition, context.offset)


def write(what: str, context: Context) -> None:
    """Write down what happens to an event."""
    key = shown(context.key)
    JOURNAL.write(what, place_of(context), context.timestamp_ms, context.attempt, key)


def judge(context: Context) -> Verdict:
    """Return how this attempt has to go."""
    return verdict(SEED, GROUP.name, place_of(context), context.attempt)


def fail(context: Context, how: Verdict) -> None:
    """Fail, not always in the same way."""
    write(FAILED, context)
    way = chance("way", *place_of(context), context.attempt)
    if how == "permanent":
        if way < 0.5:
            raise Permanent(f"{context.offset} is told to fail for good")
        raise ValueError(f"{context.offset} has a cause") from Permanent("for good")
    if way < 0.02:
        raise asyncio.CancelledError
    if way < 0.04:
        raise SystemExit(3)
    raise ToldToFailError(f"{context.offset} fails at attempt {context.attempt} é {'x' * 300}")


async def take_a_while(context: Context) -> None:
    """Take some time for some attempts."""
    luck = chance("pause", *place_of(context), context.attempt)
    if luck < _SLOW:
        await asyncio.sleep(_SLOW_S)
    elif luck < _SOME:
        await asyncio.sleep(_SOME_S)


async def one(event: Event, context: Context) -> None:
    """Handle an event as its verdict says; an order is added up."""
    write(START, context)
    how = judge(context)
    try:
        await take_a_while(context)
        if how == "ok" and isinstance(event, OrderCreated):
            await ORDERS.add(event, context)
    except asyncio.CancelledError:
        write(CANCELLED, context)
        raise
    except BaseException:
        write(BROKE, context)
        raise
    if how != "ok":
        fail(context, how)
    write(END, context)


async def batch(events: Sequence[UserRegistered], contexts: Sequence[Context]) -> None:
    """Store a batch, all of it or none."""
    for context in contexts:
        write(START, context)
    verdicts = [judge(context) for context in contexts]
    try:
        await take_a_while(contexts[0])
        if set(verdicts) == {"ok"}:
            await USERS.add(events, contexts)
    except BaseException as error:
        for context in contexts:
            write(CANCELLED if isinstance(error, asyncio.CancelledError) else BROKE, context)
        raise
    if set(verdicts) == {"ok"}:
        for context in contexts:
            write(END, context)
    elif len(contexts) == 1:
        fail(contexts[0], verdicts[0])
    else:
        for context in contexts:
            write(REDO, context)
        raise ToldToFailError("some of the batch are told to fail")


def subscriptions() -> list[Subscription]:
    """Bind the handlers to the group's topics."""
    if GROUP is ROWS:
        [topic] = [TOPOLOGY.topic(name) for name in ROWS.reads]
        return [Subscription(topic.name, UserRegistered, batch, "batch", max_batch=MAX_BATCH)]
    topics = [TOPOLOGY.topic(name) for name in KEYS.reads]
    models = {topic.name: topic.model for topic in topics}
    return [
        Subscription(name, model, one, concurrency=CONCURRENCY)
        for name, model in models.items()
        if model is not None
    ]


def create_app() -> DeliveryApp:
    """Build the app from the environment, as ``app.py`` does for a service."""
    made = DeliveryApp(TOPOLOGY.real_name(GROUP.name), SETTINGS)
    made.before_consumer.append(StartStop(DATABASE))
    made.subscribe(subscriptions(), failing_events(made, TOPOLOGY, made.conf.id))
    rates = Rates(made)
    made.before_consumer.append(rates)

    def stats() -> dict[str, Any]:
        return delivery_stats(made, rates)

    def is_ready() -> tuple[bool, str]:
        if not made.gate.open:
            return False, "waiting for Kafka"
        return made.has_assignment and not made.rebalancing, "as Faust says"

    made.on_webserver_init = lambda web: web.web_app.add_routes(status_routes(stats, is_ready))
    return made


SEED = int(os.environ["CHAOS_SEED"])
GROUP = next(group for group in (KEYS, ROWS) if group.name == os.environ["CHAOS_GROUP"])
JOURNAL = JournalFile(os.environ["CHAOS_JOURNAL"])
SETTINGS = load_settings()
TOPOLOGY = chaos_topology(SETTINGS.namespace)
DATABASE = Database(SETTINGS.sql_url(GROUP.name))
ORDERS, USERS = Orders(DATABASE), Users(DATABASE)
use_event_loop(SETTINGS)
app = create_app()
