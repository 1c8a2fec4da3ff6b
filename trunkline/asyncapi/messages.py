"""What stands in records: events, failures, dead letters, and what workers tell each other."""

from __future__ import annotations

from typing import Any

from models import Event
from trunkline.asyncapi import headers
from trunkline.asyncapi.schemas import models_of, ref
from trunkline.topology import Topology

_BINDING_VERSION = "0.5.0"
_MSGPACK = "application/msgpack"
_CLOUD_EVENTS = "application/cloudevents+json"
#: The payload of a record that we pass on byte for byte: it may be anything, for it may be bad.
_AS_IT_CAME = {"description": "The event's value, byte for byte; null for a tombstone."}
_EVENT_KEY = {"type": "string", "description": "The event's key, byte for byte."}


def messages_of(topology: Topology) -> dict[str, Any]:
    """Return all messages by name."""
    events: dict[str, Any] = {}
    for model in models_of(topology):
        events[model.__name__] = _event(model)
        events[f"{model.__name__}.CloudEvent"] = _cloud_event(model)
    return events | _OURS


def event_messages(model: type[Event]) -> tuple[str, ...]:
    """Return the names of the messages of a topic that has a model."""
    return model.__name__, f"{model.__name__}.CloudEvent"


def _message(
    title: str, summary: str, key: dict[str, Any] | None, payload: dict[str, Any], **more: Any
) -> dict[str, Any]:
    binding = {"bindingVersion": _BINDING_VERSION} | ({} if key is None else {"key": key})
    return {
        "title": title,
        "summary": summary,
        "payload": payload,
        "bindings": {"kafka": binding},
        **more,
    }


def _event(model: type[Event]) -> dict[str, Any]:
    return _message(
        model.__name__,
        f"{_first_line(model)} Plain JSON, or a CloudEvent in binary mode (with ce_ headers).",
        _key_of(model),
        ref(model.__name__),
        headers=headers.EVENT,
    )


def _cloud_event(model: type[Event]) -> dict[str, Any]:
    return _message(
        f"{model.__name__} as a CloudEvent",
        "The same in CloudEvents' structured mode.",
        _key_of(model),
        ref(f"{model.__name__}.CloudEvent"),
        contentType=_CLOUD_EVENTS,
    )


def _first_line(model: type[Event]) -> str:
    return (model.__doc__ or model.__name__).strip().split("\n", 1)[0]


def _key_of(model: type[Event]) -> dict[str, Any]:
    names = zip(model.__struct_fields__, model.__struct_encode_fields__, strict=True)
    field = dict(names)[model.key_field]
    return {"type": "string", "description": f"The event's {field}, in UTF-8."}


_OURS: dict[str, Any] = {
    "FailedEvent": _message(
        "Failed event",
        "An event that the group could not handle: it is tried again, or becomes a dead letter.",
        _EVENT_KEY,
        _AS_IT_CAME,
        headers=headers.FAILED,
        contentType="application/octet-stream",
    ),
    "ParkedEvent": _message(
        "Parked event",
        "An event that waits behind a failed one of its key, untried.",
        _EVENT_KEY,
        _AS_IT_CAME,
        headers=headers.PARKED,
        contentType="application/octet-stream",
    ),
    "RedrivenEvent": _message(
        "Redriven event",
        "A dead letter that was given back to the group that failed it.",
        _EVENT_KEY,
        _AS_IT_CAME,
        headers=headers.REDRIVEN,
        contentType="application/octet-stream",
    ),
    "RetryCommand": _message(
        "Retry command",
        "What is to be done with a waiting event; it says which in its headers.",
        None,
        {"description": "Nothing: the record has no value."},
        headers=headers.COMMAND,
    ),
    "DeadLetter": _message(
        "Dead letter",
        "An event that no attempt could handle.",
        _EVENT_KEY,
        _AS_IT_CAME,
        headers=headers.FAILED,
        contentType="application/octet-stream",
    ),
    "DeadLetterAction": _message(
        "Dead letter action",
        "What was done with a dead letter; no value takes it back.",
        {"type": "string", "description": "The dead letter's id: dlq.order.created[1]@17"},
        ref("Action"),
    ),
    "RetryEntry": _message(
        "Waiting event",
        "An event that waits, with the record itself; no value: it is through.",
        {"description": "'e' and the event's id, in MessagePack."},
        ref("RetryEntry"),
        contentType=_MSGPACK,
    ),
    "RetryState": _message(
        "State of a waiting event",
        "Its newest attempts, errors and due time.",
        {"description": "'s' and the event's id, in MessagePack."},
        ref("RetryState"),
        contentType=_MSGPACK,
    ),
    "HeldRange": _message(
        "Held key",
        "Which events of a key a worker has settled and not committed past.",
        ref("HeldKey"),
        ref("HeldRange"),
        contentType=_MSGPACK,
    ),
    "Release": _message(
        "Released key",
        "The offset up to which nothing of a key waits.",
        ref("HeldKey"),
        {"type": "integer"},
        contentType=_MSGPACK,
    ),
    "TableRow": _message(
        "Row of a table",
        "A change of a Faust table; no value: the row is gone.",
        {"description": "The row's key, as JSON."},
        {"description": "The row, as JSON."},
    ),
    "WorkerReport": _message(
        "Worker report",
        "How a pod is: written every two seconds; no value: it ended in good order.",
        {"type": "string", "description": "The pod's name."},
        ref("WorkerReport"),
    ),
    "SettingsReport": _message(
        "Settings of a pod",
        "The settings that a pod runs with, secrets masked.",
        {"type": "string", "description": "settings:, and the pod's name."},
        ref("SettingsReport"),
    ),
    "Order": _message(
        "Order",
        "What is to pause or to drain; no value: the order is withdrawn.",
        {"type": "string", "description": 'JSON: ["pause", group, topic, partition or null].'},
        ref("Order"),
    ),
    "AuditRecord": _message(
        "Audit record",
        "Who did what, and when: one as it begins, one as it ends.",
        {"type": "string", "description": "The action's id."},
        ref("AuditRecord"),
    ),
    "Record": _message(
        "Record", "A record of Trunkline's own.", {"type": "string"}, {"description": "JSON."}
    ),
}
