"""The AsyncAPI 3 document of the system: made of the topology and the models, never by hand."""

from __future__ import annotations

from trunkline.asyncapi.document import asyncapi_document
from trunkline.asyncapi.yaml_text import as_yaml

__all__ = ["as_yaml", "asyncapi_document"]
