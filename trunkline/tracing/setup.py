"""Switch traces on: by OpenTelemetry's own variables, and only when they ask for it.

    pip install 'trunkline[otel]'
    OTEL_EXPORTER_OTLP_ENDPOINT=http://collector:4318 faust -A app worker

Without an endpoint nothing is imported, no handler is wrapped, and no event costs anything.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from trunkline.tracing.spans import Tracing

logger = logging.getLogger(__name__)

_ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
_PROTOCOLS = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")


def is_asked_for(environment: Mapping[str, str]) -> bool:
    """Whether the environment names where traces go, and does not switch them off."""
    if environment.get("OTEL_SDK_DISABLED", "").lower() == "true":
        return False
    if environment.get("OTEL_TRACES_EXPORTER", "otlp") != "otlp":
        return False
    return any(environment.get(name) for name in _ENDPOINTS)


def tracing_for(service: str, pod: str) -> Tracing | None:
    """Return what makes spans for a process, None when no traces are asked for.

    Args:
        service: Becomes ``service.name`` unless ``OTEL_SERVICE_NAME`` or
            ``OTEL_RESOURCE_ATTRIBUTES`` says otherwise.
        pod: Becomes ``service.instance.id`` in the same way.

    """
    if not is_asked_for(os.environ):
        return None
    protocol = next((os.environ[name] for name in _PROTOCOLS if os.environ.get(name)), "")
    if protocol not in ("", "http/protobuf"):
        logger.warning(
            "No traces: OTLP over %r is not supported. Set OTEL_EXPORTER_OTLP_PROTOCOL to "
            "http/protobuf, and the endpoint to the collector's port for HTTP (4318).",
            protocol,
        )
        return None
    try:
        from trunkline.tracing.spans import exporting  # noqa: PLC0415  # an extra
    except ImportError as error:
        logger.warning(
            "No traces: OTEL_EXPORTER_OTLP_ENDPOINT is set, but %s is not installed. Install "
            "'trunkline[otel]', or unset it.",
            error.name,
        )
        return None
    return exporting(service, pod)
