"""The topics of the topology with what the brokers know of them."""

from __future__ import annotations

from collections.abc import Sequence

from trunkline.console.context import ConsoleContext
from trunkline.console.pages.topics.shapes import Kind, PartitionRow, TopicRow
from trunkline.topology import DEAD_LETTERS_PREFIX, Topic

#: Points of a row's small chart.
_TREND = 40


class Listing:
    """Makes rows of topics and partitions."""

    def __init__(self, context: ConsoleContext) -> None:
        self._context = context
        self._topology = context.topology

    def topics(self) -> list[TopicRow]:
        """Return a row for every topic of the topology, in its order."""
        return [self.topic(topic) for topic in self._topology.topics()]

    def topic(self, topic: Topic) -> TopicRow:
        """Return one topic's row."""
        view = self._context.view
        plain = self._topology.plain_name(topic.name)
        services = self._topology.services
        return TopicRow(
            topic.name,
            self.kind(topic),
            topic.partitions,
            view.brokers.size(topic.name) if view and view.brokers.at_s else None,
            view.flow.per_s(topic.name) if view else None,
            view.flow.series(topic.name)[1][-_TREND:] if view else (),
            readers=[s.name for s in services if plain in s.reads],
            writers=[s.name for s in services if plain in (*s.publishes, *s.relays_to)],
            problem=self._problem(topic.name),
        )

    def kind(self, topic: Topic) -> Kind:
        """Return what a topic is for."""
        plain = self._topology.plain_name(topic.name)
        if topic.model is not None:
            return "events"
        if plain.startswith(DEAD_LETTERS_PREFIX):
            return "dead letters"
        if plain.endswith(".failures"):
            return "failures"
        return "tables" if plain.endswith("-changelog") else "system"

    def partitions(self, topic: Topic) -> list[PartitionRow]:
        """Return the rows of a topic's partitions: as the brokers told, else as declared."""
        view = self._context.view
        if view is None or not view.brokers.at_s:
            return [_unknown(partition) for partition in range(topic.partitions)]
        brokers = view.brokers
        found = sorted(p for name, p in brokers.copies if name == topic.name)
        rows = []
        for partition in found:
            place = (topic.name, partition)
            copies = brokers.copies[place]
            row = PartitionRow(
                partition,
                brokers.begins.get(place),
                brokers.ends.get(place),
                view.flow.per_s(topic.name, partition),
                copies.leader if copies.leader >= 0 else None,
                copies.replicas,
                copies.in_sync,
            )
            rows.append(row)
        return rows

    def why_unknown(self) -> str:
        """Return why nothing is known of the brokers, or nothing new; ``""`` when all is well."""
        view = self._context.view
        if view is None:
            return "This worker does not watch the brokers."
        if view.brokers.error:
            return f"The brokers do not answer, this is what they said last: {view.brokers.error}"
        return "" if view.brokers.at_s else "The brokers have not been asked yet."

    def _problem(self, name: str) -> str:
        view = self._context.view
        if view is None or not view.brokers.at_s:
            return ""
        brokers = view.brokers
        if name in brokers.missing:
            return "missing"
        if _has(brokers.leaderless, name):
            return "without a leader"
        return "under-replicated" if _has(brokers.under_replicated, name) else ""


def _unknown(partition: int) -> PartitionRow:
    return PartitionRow(partition, None, None, None, None, (), ())


def _has(places: Sequence[str], topic: str) -> bool:
    """Return whether one of ``topic[partition]`` is of this topic."""
    return any(place.rpartition("[")[0] == topic for place in places)
