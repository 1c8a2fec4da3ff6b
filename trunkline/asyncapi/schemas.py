"""JSON Schemas of what stands in records: the models' own, and those of Trunkline's records."""

from __future__ import annotations

import inspect
from collections.abc import Iterable
from typing import Any

import msgspec

from models import Event
from models.failures import HeldKey, HeldRange, RetryEntry, RetryState
from trunkline.audit import AuditRecord
from trunkline.dead_letters.actions import Action
from trunkline.system.orders import Order
from trunkline.system.report import SettingsReport, WorkerReport
from trunkline.topology import Topology

REF = "#/components/schemas/{name}"
_OURS = (
    RetryEntry,
    RetryState,
    HeldKey,
    HeldRange,
    Action,
    WorkerReport,
    SettingsReport,
    Order,
    AuditRecord,
)
#: CloudEvents 1.0 in structured mode; ``data`` is the event.
_CLOUD_EVENT: dict[str, Any] = {
    "specversion": {"type": "string", "const": "1.0"},
    "id": {"type": "string", "minLength": 1},
    "source": {"type": "string", "format": "uri-reference", "minLength": 1},
    "type": {"type": "string", "minLength": 1},
    "time": {"type": "string", "format": "date-time"},
    "subject": {"type": "string", "minLength": 1},
    "datacontenttype": {"type": "string"},
    "dataschema": {"type": "string", "format": "uri"},
}
_REQUIRED = ["specversion", "id", "source", "type", "data"]


def models_of(topology: Topology) -> list[type[Event]]:
    """Return the models of the declared topics, each one once."""
    models = (topic.model for topic in topology.declared_topics if topic.model)
    return list(dict.fromkeys(models))


def schemas_of(topology: Topology) -> dict[str, Any]:
    """Return all schemas by name; they refer to each other by :data:`REF`."""
    models = models_of(topology)
    schemas = json_schemas([*models, *_OURS])
    return schemas | {f"{model.__name__}.CloudEvent": _cloud_event(model) for model in models}


def json_schemas(types: Iterable[Any]) -> dict[str, Any]:
    """Return the schemas of types and of what they are made of, in JSON Schema draft 7.

    That is the draft that AsyncAPI stands on; msgspec writes 2020-12, which differs in arrays of
    fixed length.
    """
    _, schemas = msgspec.json.schema_components(list(types), ref_template=REF)
    return {name: _draft_7(schema) for name, schema in schemas.items()}


def ref(name: str) -> dict[str, str]:
    """Return a reference to a schema."""
    return {"$ref": REF.format(name=name)}


def _cloud_event(model: type[Event]) -> dict[str, Any]:
    return {
        "title": f"{model.__name__} as a CloudEvent",
        "type": "object",
        "properties": {**_CLOUD_EVENT, "data": ref(model.__name__)},
        "required": _REQUIRED,
    }


def _draft_7(schema: Any) -> Any:
    if isinstance(schema, list):
        return [_draft_7(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    found = {key: _draft_7(value) for key, value in schema.items()}
    if "prefixItems" in found:
        rest = found.pop("items", True)
        found["items"] = found.pop("prefixItems")
        found["additionalItems"] = rest
    if isinstance(found.get("description"), str):
        found["description"] = inspect.cleandoc(found["description"])
    return found
