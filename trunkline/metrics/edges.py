"""What publishers, notification pods and the dlq service measure."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from prometheus_client.core import Metric

from trunkline.metrics.families import counter, gauge
from trunkline.publishing.service import PublisherService

_TOPIC = ("service", "topic")


def publisher_metrics(publisher: PublisherService) -> Iterator[Metric]:
    """Yield what became of posted events; topics by their plain names, ``?`` is none of them."""
    service = publisher.service
    for name, text, counts in (
        ("events", "Events that Kafka has acknowledged.", publisher.accepted),
        ("failed_events", "Events that were answered with 503.", publisher.failed),
    ):
        yield counter(
            f"trunkline_published_{name}",
            text,
            _TOPIC,
            (((service, topic), counts[topic]) for topic in publisher.readers),
        )
    topics = [*publisher.readers, "?"]
    yield counter(
        "trunkline_refused_posts",
        "Posts that were answered with 4xx.",
        _TOPIC,
        (((service, topic), publisher.refused[topic]) for topic in topics),
    )
    yield gauge(
        "trunkline_publish_in_flight_bytes",
        "Bodies that are held.",
        ("service",),
        [((service,), publisher.in_flight_bytes)],
    )
    yield gauge(
        "trunkline_publisher_ready",
        "1 while posts are taken.",
        ("service",),
        [((service,), publisher.ready)],
    )


def notification_metrics(stats: Callable[[], Mapping[str, Any]]) -> Iterator[Metric]:
    """Yield what a notification pod has read and pushed.

    Args:
        stats: Those of its hub and its receiver together.

    """
    found = stats()
    for name, text in (
        ("clients", "Clients that are connected to this pod."),
        ("users", "Users that they belong to."),
        ("buffered", "Notifications that are kept for clients that reconnect."),
        ("buffered_bytes", "Memory that these take, about."),
    ):
        yield gauge(f"trunkline_notifications_{name}", text, (), [((), found[name])])
    for name, text in (
        ("pushed", "Notifications that were pushed to a client."),
        ("replayed", "Notifications that a client got when it reconnected."),
        ("gaps", "Clients that were told that they may have missed some."),
        ("dropped_slow", "Clients that were disconnected because they were too slow."),
        ("refused", "Clients that were refused."),
        ("received", "Records that the receiver has read."),
        ("duplicates", "Second copies that it has dropped."),
        ("undecodable", "Records that are no notification."),
        ("callback_errors", "Notifications at which pushing failed."),
        ("reconnects", "How often the receiver has connected anew."),
    ):
        yield counter(f"trunkline_notifications_{name}", text, (), [((), found[name])])
    topic = found["topic"]
    yield gauge(
        "trunkline_receiver_lag",
        "Records of the topic that this pod has not read.",
        ("topic", "partition"),
        (((topic, number), row["lag"]) for number, row in found["partitions"].items()),
    )
    yield gauge(
        "trunkline_receiver_connected",
        "1 while the topic is being read.",
        ("topic",),
        [((topic,), found["connected"])],
    )


def dead_letter_metrics(stats: Callable[[], Mapping[str, Any]]) -> Iterator[Metric]:
    """Yield how many dead letters the index has.

    Args:
        stats: Those of the index; empty before its database has answered.

    """
    found = stats()
    yield gauge(
        "trunkline_dead_letters",
        "Dead letters by what was done with them; open: nothing yet.",
        ("status",),
        (((status,), found.get(status)) for status in ("open", "redriven", "discarded")),
    )
    yield gauge(
        "trunkline_dead_letter_fingerprints",
        "Causes that dead letters are grouped by.",
        (),
        [((), found.get("fingerprints"))],
    )
