"""``GET /metrics``, and what every worker tells: build, health, process and garbage collector."""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterator
from importlib.metadata import version

from aiohttp import web
from prometheus_client import CollectorRegistry, GCCollector, ProcessCollector
from prometheus_client.core import Metric
from prometheus_client.exposition import choose_encoder

import trunkline
from trunkline.metrics.families import Families, gauge

_NONE = ""


class WorkerMetrics:
    """The registry of one worker.

    Args:
        service: Its service's name.
        group: Its group's real name, None for one that consumes in none.
        pod: Its name.
        is_live: As ``/health/live`` says.
        is_ready: As ``/health/ready`` says.

    """

    def __init__(
        self,
        service: str,
        group: str | None,
        pod: str,
        is_live: Callable[[], tuple[bool, str]],
        is_ready: Callable[[], tuple[bool, str]],
    ) -> None:
        self._who = service, group or _NONE
        self._pod = pod
        self._is_live = is_live
        self._is_ready = is_ready
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        GCCollector(registry=self._registry)
        self.add(self._collect)

    def add(self, collect: Callable[[], Iterator[Metric]]) -> None:
        """Add families that are made for each scrape."""
        self._registry.register(Families(collect))

    def expose(self, accept: str = "") -> tuple[bytes, str]:
        """Return all metrics, and their content type: OpenMetrics for who accepts it."""
        encode, content_type = choose_encoder(accept)
        return encode(self._registry), content_type

    def routes(self) -> list[web.RouteDef]:
        """Return ``GET /metrics``."""

        async def get_metrics(request: web.Request) -> web.Response:
            body, content_type = self.expose(",".join(request.headers.getall("Accept", [])))
            response = web.Response(
                body=body, headers={"Content-Type": content_type, "Cache-Control": "no-store"}
            )
            response.enable_compression()
            return response

        return [web.get("/metrics", get_metrics)]

    def _collect(self) -> Iterator[Metric]:
        labels = ("service", "group")
        yield gauge(
            "trunkline_build_info",
            "1; the labels say what runs.",
            (*labels, "pod", "version", "python", "faust"),
            [
                (
                    (
                        *self._who,
                        self._pod,
                        trunkline.__version__,
                        platform.python_version(),
                        version("faust-streaming"),
                    ),
                    1,
                )
            ],
        )
        yield gauge(
            "trunkline_health_live",
            "1 while nothing is stuck.",
            labels,
            [(self._who, self._is_live()[0])],
        )
        yield gauge(
            "trunkline_health_ready",
            "1 while it does its work.",
            labels,
            [(self._who, self._is_ready()[0])],
        )
