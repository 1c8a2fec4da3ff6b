"""A channel for every topic, with what Kafka is told about it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from trunkline.asyncapi.messages import event_messages
from trunkline.topology import REPLICATION_FACTOR, Topic, Topology

_BINDING_VERSION = "0.5.0"


class Purpose(NamedTuple):
    """What a topic is for, and the messages in it."""

    text: str
    messages: tuple[str, ...]


def channels_of(topology: Topology) -> dict[str, Any]:
    """Return the channels by the plain names of their topics."""
    purposes = dict(_purposes(topology))
    return {
        topology.plain_name(topic.name): _channel(topic, purposes.get(topic.name, _UNKNOWN))
        for topic in topology.topics()
    }


_UNKNOWN = Purpose("A topic of Trunkline's own.", ("Record",))


def _channel(topic: Topic, purpose: Purpose) -> dict[str, Any]:
    messages = {name: {"$ref": f"#/components/messages/{name}"} for name in purpose.messages}
    return {
        "address": topic.name,
        "description": purpose.text,
        "messages": messages,
        "bindings": {
            "kafka": {
                "topic": topic.name,
                "partitions": topic.partitions,
                "replicas": REPLICATION_FACTOR,
                "topicConfiguration": {
                    "cleanup.policy": topic.cleanup_policy.split(","),
                    "retention.ms": topic.retention_ms,
                    "max.message.bytes": topic.max_message_bytes,
                },
                "bindingVersion": _BINDING_VERSION,
            }
        },
    }


def _purposes(topology: Topology) -> Iterator[tuple[str, Purpose]]:
    """Yield the purpose of each topic that this module knows, by its real name."""
    relayed = {name for service in topology.services for name in service.relays_to}
    for topic in topology.declared_topics:
        if topic.model is not None:
            messages = event_messages(topic.model)
            text = "Events."
            if topic.name in relayed:
                text = "Copies of events, for every pod: read without a group."
            yield topology.real_name(topic.name), Purpose(text, messages)
    for service in topology.services:
        if service.group:
            yield from _purposes_of_group(topology, service.group)
        for topic in topology.changelogs(service.name):
            text = f"Changelog of a table of {service.name}."
            yield topic.name, Purpose(text, ("TableRow",))
    for name in dict.fromkeys(name for service in topology.services for name in service.reads):
        text = f"Dead letters of {name}: what no attempt could handle."
        yield topology.dead_letters_topic(name).name, Purpose(text, ("DeadLetter",))
    if any(service.reads_dead_letters for service in topology.services):
        text = "What was done with dead letters."
        yield topology.dead_letter_actions_topic().name, Purpose(text, ("DeadLetterAction",))
    yield (
        topology.workers_topic().name,
        Purpose("How every pod is.", ("WorkerReport", "SettingsReport")),
    )
    yield (
        topology.control_topic().name,
        Purpose("What operators ordered: pause, drain.", ("Order",)),
    )
    yield topology.audit_topic().name, Purpose("Who did what, and when.", ("AuditRecord",))


def _purposes_of_group(topology: Topology, group: str) -> Iterator[tuple[str, Purpose]]:
    yield (
        topology.failures_topic(group).name,
        Purpose(
            f"What {group} could not handle, and commands for it.",
            ("FailedEvent", "ParkedEvent", "RedrivenEvent", "RetryCommand"),
        ),
    )
    yield (
        topology.retries_changelog(group).name,
        Purpose(f"Changelog of what waits in {group}.", ("RetryEntry", "RetryState")),
    )
    yield (
        topology.held_keys_topic(group).name,
        Purpose(f"Which keys of {group} wait behind a failed event.", ("HeldRange", "Release")),
    )
