"""The composition root: one app for every service, chosen by ``TRUNKLINE_SERVICE``.

    TRUNKLINE_SERVICE=db-server faust -A app worker -l info

This is the only place that knows services, handlers and tables at once. To put in a handler of
your own: write it in ``agents/``, and bind it to its topic in a ``_wire_…`` method below.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace
from socket import gethostname
from typing import Any

from aiohttp import web

from agents.auth_registered import count_registrations, store_users
from agents.dead_letter_index import apply_actions, index_dead_letters
from agents.failing import failing_events
from agents.fan_out import relay_notifications
from agents.order_created import count_orders
from agents.user_activity import count_activity
from models import Event, NotificationSent
from tables.activity import ActivityCounts
from tables.database import Database
from tables.dead_letter_overview import OverviewKeeper
from tables.dead_letter_queries import DeadLetterQueries, ReadOnlyDeadLetters
from tables.dead_letters import DeadLetters
from tables.orders import Orders
from tables.users import Users
from trunkline import topology as names
from trunkline.audit import AuditLog
from trunkline.audit.trail import AuditTrail
from trunkline.console import Console, ConsoleContext
from trunkline.dead_letters.runs import Runs
from trunkline.delivery.app import DeliveryApp
from trunkline.delivery.event_loop import use_event_loop
from trunkline.delivery.handler import Handler, Subscription
from trunkline.delivery.producer import RecordProducer
from trunkline.delivery.readiness import why_not_consuming
from trunkline.delivery.receiver import BroadcastReceiver
from trunkline.delivery.startstop import Part, StartStop
from trunkline.delivery.stats import Rates, delivery_stats
from trunkline.delivery.tail import TopicTail
from trunkline.errors import ConfigurationError, TrunklineError
from trunkline.metrics.delivery import DeliveryMetrics
from trunkline.metrics.edges import dead_letter_metrics, notification_metrics, publisher_metrics
from trunkline.metrics.worker import WorkerMetrics
from trunkline.publishing.service import PublisherService
from trunkline.retries.live import LiveRetries
from trunkline.retries.policy import RetryPolicy, check_policies
from trunkline.settings import Settings, load_settings
from trunkline.system.obedience import Obedience
from trunkline.system.reporter import Reporter
from trunkline.system.view import SystemView
from trunkline.topics import check_service_topics
from trunkline.topics.rights import check_service_rights
from trunkline.topology import Service, Topology
from trunkline.tracing.setup import tracing_for
from trunkline.web.dead_letters import dead_letter_routes
from trunkline.web.farewell import send_answers_to_the_end
from trunkline.web.notifications import HubLimits, NotificationHub
from trunkline.web.publish import publish_routes
from trunkline.web.safety.access import Access
from trunkline.web.safety.guard import secure
from trunkline.web.status import status_routes


def create_app(service: str | None = None, settings: Settings | None = None) -> DeliveryApp:
    """Build the Faust app of one service.

    Args:
        service: Name of the service; else the setting ``TRUNKLINE_SERVICE``.
        settings: Else read from the environment.

    Raises:
        ConfigurationError: The service is missing or unknown, or a setting is wrong.

    """
    settings = settings or load_settings()
    name = service or settings.service
    topology = Topology(settings.namespace)
    if not name:
        known = ", ".join(s.name for s in topology.services)
        raise ConfigurationError(f"TRUNKLINE_SERVICE is not set. Set it to one of: {known}.")
    declared = topology.service(name)
    check_policies(settings, [topic.name for topic in topology.declared_topics])
    return _Wiring(declared, settings.model_copy(update={"service": name}), topology).app


class _Wiring:
    """Put one service's app together."""

    def __init__(self, service: Service, settings: Settings, topology: Topology) -> None:
        self.service = service
        self.settings = settings
        self.topology = topology
        self.access = Access(settings)
        self.stats: dict[str, Callable[[], Any]] = {}
        self.readiness: list[Callable[[], tuple[bool, str]]] = []
        self.routes: list[web.RouteDef] = []
        #: Makes spans; None unless the OTEL_* variables ask for traces.
        self.tracing = tracing_for(service.name, settings.pod_name)
        self.metrics = WorkerMetrics(
            service.name,
            self.topology.real_name(service.group) if service.group else None,
            settings.pod_name,
            self._is_live,
            self._is_ready,
        )
        #: Of the SQL database that the service uses, if it does.
        self.database_url = ""
        #: Retry policies by plain topic name, where a handler needs one of its own.
        self.policies: dict[str, RetryPolicy] = {}
        self.app = DeliveryApp(
            service.group or service.name,
            settings,
            web_application_options={"client_max_size": settings.max_body_bytes},
        )
        self.app.gate.checks += [self._check_rights, self._check_topics]
        wire = {
            "db-server": self._wire_db_server,
            "engine": self._wire_engine,
            "notification-service": self._wire_notification_service,
            "activity-processor": self._wire_activity_processor,
            names.DLQ_SERVICE: self._wire_dlq,
        }
        if service.name in wire:
            wire[service.name]()
        elif service.reads:
            raise ConfigurationError(
                f"Service {service.name!r} reads {', '.join(service.reads)}, but app.py binds no "
                "handler to it: write a _wire_… method, and name it in _Wiring."
            )
        if service.publishes:
            self._publish()
        if service.name == names.CONSOLE_SERVICE or settings.console:
            self._wire_console()
        if self.tracing is not None:
            # First to start, so that it ends when all others have: they make spans until then.
            self.app.before_consumer.insert(0, StartStop(self.tracing))
        self._report()
        self._serve()

    # -- the services

    def _wire_db_server(self) -> None:
        users = Users(self._database())
        self._subscribe(self._batches(names.AUTH_REGISTERED, store_users(users)))

    def _wire_engine(self) -> None:
        orders = Orders(self._database())
        self._subscribe(
            self._batches(names.AUTH_REGISTERED, count_registrations(orders)),
            self._events(names.ORDER_CREATED, count_orders(orders), concurrency=16),
        )

    def _wire_notification_service(self) -> None:
        sent = self.topology.topic(names.NOTIFICATION_SENT)
        fanout = self.topology.topic(names.NOTIFICATION_FANOUT)
        if self.settings.notifications == "fanout":
            relay_producer = self._started(self._producer("relay"))
            relay = relay_notifications(relay_producer, fanout.name)
            self._subscribe(self._batches(names.NOTIFICATION_SENT, relay))
            self._receive(self._tail(fanout.name))
        else:
            # The seed's first solution: a group for each pod.
            group = f"{self.service.group}-{self.settings.pod_name}"
            self._receive(self._tail(sent.name, group))

    def _wire_activity_processor(self) -> None:
        source = self.topology.topic(names.USER_ACTIVITY)
        # No value_type: Faust would take dict for one of its models, and recover nothing.
        table = self.app.Table(names.ACTIVITY_TABLE, key_type=str, partitions=source.partitions)
        counts = ActivityCounts(
            table, self.settings.activity_window_s, self.settings.activity_windows_kept
        )
        # It writes a table of the source partition's worker: nobody else can try an event again.
        self.policies[names.USER_ACTIVITY] = RetryPolicy(retryable=False)
        self._subscribe(self._batches(names.USER_ACTIVITY, count_activity(counts)))
        self.stats["activity"] = lambda: counts.rows(self._assigned_partitions(source.name))
        self.stats["late"] = lambda: counts.late
        self.stats["early"] = lambda: counts.early

    def _wire_dlq(self) -> None:
        database = self._database()
        index, queries = DeadLetters(database), DeadLetterQueries(database)
        letters = self.topology.dead_letters_topics()
        actions = self.topology.dead_letter_actions_topic()
        for topic in (*letters, actions):
            # There are no dead letters of dead letters: it never gives up.
            plain = self.topology.plain_name(topic.name)
            self.policies[plain] = RetryPolicy(max_retries=None)
        handler = index_dead_letters(index, self.topology)
        self._subscribe(
            *(Subscription(topic.name, None, handler, "batch") for topic in letters),
            Subscription(actions.name, None, apply_actions(index), "batch"),
        )
        overview = OverviewKeeper(queries)
        self.app.before_consumer.append(overview)
        self.stats["dead_letters"] = overview.stats
        self.metrics.add(lambda: dead_letter_metrics(overview.stats))
        self.routes += dead_letter_routes(queries)

    def _wire_console(self) -> None:
        view = SystemView(self.settings, self.topology)
        self.app.before_consumer.append(view)
        context = ConsoleContext(self.settings, self.topology, self.access)
        context.view = view
        self._wire_operating(context)
        console = self._started(Console(context))
        self.routes += console.routes()

    def _wire_operating(self, context: ConsoleContext) -> None:
        """What waits, dead letters, and the trail of what is done with them."""
        context.retries = self._started(LiveRetries(self.settings, self.topology))
        index = ReadOnlyDeadLetters(Database(self.settings.sql_url(names.DLQ_SERVICE)))
        context.dead_letters = self._started(index)
        context.audit = self._started(AuditLog(self.settings, self.topology))
        context.trail = self._started(AuditTrail(self.settings, self.topology))
        context.runs = Runs(context.audit)

    def _publish(self) -> None:
        publisher = self._started(PublisherService(self.settings, self.topology, self.service.name))
        publisher.tracing = self.tracing
        self.routes += publish_routes(publisher)
        self.stats["published"] = publisher.stats
        self.metrics.add(lambda: publisher_metrics(publisher))
        self.readiness.append(lambda: (publisher.ready, "waiting for Kafka to publish"))

    # -- the parts

    def _tail(self, topic: str, group: str | None = None) -> TopicTail:
        return TopicTail(
            topic,
            self.settings.connection,
            group=group,
            replay=self.settings.notification_replay,
            client_id=f"{self.settings.pod_name}.receiver",
            metadata_max_age_s=self.settings.metadata_max_age_s,
        )

    def _receive(self, tail: TopicTail) -> None:
        limits = HubLimits(
            clients=self.settings.notification_clients,
            queue=self.settings.notification_queue,
            replay=self.settings.notification_replay,
            heartbeat_s=self.settings.notification_heartbeat_s,
        )
        hub = NotificationHub(limits, is_ready=lambda: receiver.ready)
        receiver = BroadcastReceiver(tail, NotificationSent, hub.on_notification)
        self.app.before_consumer += [StartStop(hub), receiver]
        self.routes += hub.routes()
        self.stats["notifications"] = lambda: {**hub.stats(), **receiver.stats()}
        self.metrics.add(lambda: notification_metrics(self.stats["notifications"]))
        self.readiness.append(
            lambda: (receiver.ready, f"the receiver reads {tail.topic} up to its end")
        )

    def _batches(self, topic: str, handler: Handler) -> Subscription:
        declared = self.topology.topic(topic)
        return Subscription(declared.name, _model(declared), handler, "batch")

    def _events(self, topic: str, handler: Handler, concurrency: int = 1) -> Subscription:
        declared = self.topology.topic(topic)
        concurrency = self.settings.concurrency.get(topic, concurrency)
        return Subscription(declared.name, _model(declared), handler, concurrency=concurrency)

    def _subscribe(self, *subscriptions: Subscription) -> None:
        group = self.service.group
        assert group is not None
        failing = failing_events(self.app, self.topology, group, self.policies)
        if self.tracing is not None:
            name = self.app.conf.id
            subscriptions = tuple(self.tracing.traced(s, name) for s in subscriptions)
            failing = replace(failing, forward=self.tracing.burying(failing.forward, name))
        self.app.subscribe(subscriptions, failing)
        rates = Rates(self.app)
        self.app.before_consumer.append(rates)
        self.stats["delivery"] = lambda: delivery_stats(self.app, rates)
        self.metrics.add(DeliveryMetrics(self.app).collect)
        self.readiness.append(self._is_consuming)
        self.app.before_consumer.append(Obedience(self.app, self.topology, group))

    def _producer(self, purpose: str) -> RecordProducer:
        return RecordProducer(
            self.settings.connection,
            f"{self.settings.pod_name}.{purpose}",
            metadata_max_age_s=self.settings.metadata_max_age_s,
        )

    def _database(self) -> Database:
        self.database_url = self.settings.sql_url(self.service.name)
        return self._started(Database(self.database_url))

    def _started(self, part: Part) -> Part:
        self.app.before_consumer.append(StartStop(part))
        return part

    def _assigned_partitions(self, topic: str) -> list[int]:
        return [tp.partition for tp in self.app.assigned() if tp.topic == topic]

    # -- what every service serves

    def _report(self) -> None:
        """Report to the topic that the consoles read; the first part to start, the last to end."""
        reporter = Reporter(
            self.settings,
            self.topology.workers_topic().name,
            self._all_stats,
            self._is_ready,
            is_live=self._is_live,
            group=self.service.group,
            url=self._url(),
            consumes=lambda: bool(self.app.batched_topics),
            database=self.database_url,
        )
        self.app.before_consumer.insert(0, reporter)

    def _url(self) -> str:
        """Return where this pod serves, as others reach it."""
        url = self.app.conf.canonical_url
        return str(url.with_host(gethostname()) if url.host in ("0.0.0.0", "::") else url)  # noqa: S104

    def _serve(self) -> None:
        status = status_routes(self._all_stats, self._is_ready, self._is_live)
        routes = [*self.routes, *status, *self.metrics.routes()]

        def add_routes(server: Any) -> None:
            secure(server.web_app, self.access)
            send_answers_to_the_end(server._runner, server.web_app)
            server.web_app.add_routes(routes)

        self.app.on_webserver_init = add_routes

    def _all_stats(self) -> dict[str, Any]:
        parts = {name: part() for name, part in self.stats.items()}
        delivery = parts.pop("delivery", {})
        return {
            "service": self.service.name,
            "pod": self.settings.pod_name,
            "group": self.service.group,
            **delivery,
            **parts,
        }

    def _is_ready(self) -> tuple[bool, str]:
        if not self.app.gate.open:
            return False, self.app.gate.waits_for
        for check in self.readiness:
            ready, reason = check()
            if not ready:
                return False, reason
        return True, "working"

    def _is_live(self) -> tuple[bool, str]:
        progress = self.app.progress
        return (True, "nothing can get stuck") if progress is None else progress.is_live()

    def _is_consuming(self) -> tuple[bool, str]:
        reason = why_not_consuming(self.app)
        return not reason, reason or "working"

    async def _check_rights(self) -> None:
        await check_service_rights(self.settings.connection, self.topology, self.service.name)

    async def _check_topics(self) -> None:
        await check_service_topics(self.settings.connection, self.topology, self.service.name)


def _model(topic: names.Topic) -> type[Event]:
    if topic.model is None:
        raise ConfigurationError(f"Topic {topic.name} has no model, so no handler can read it.")
    return topic.model


def __getattr__(name: str) -> Any:
    """Make ``app`` when ``faust -A app`` asks for it, so that importing this module is harmless."""
    if name != "app":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        use_event_loop(load_settings())
        made = create_app()
    except TrunklineError as error:
        sys.stderr.write(f"Error: {error}\n")
        raise SystemExit(error.exit_code) from None
    globals()["app"] = made
    return made
