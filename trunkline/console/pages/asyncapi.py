"""AsyncAPI: the document of the topology and the models, as a page, as JSON and as YAML."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aiohttp import web

from trunkline.asyncapi import as_yaml, asyncapi_document
from trunkline.console.context import ConsoleContext
from trunkline.console.registry import Page, Section


def asyncapi(context: ConsoleContext) -> Section:
    """Return the section; it asks no broker."""
    document = asyncapi_document(context.topology, context.settings.connection)

    async def data(request: web.Request) -> Mapping[str, Any]:
        return document

    async def yaml(request: web.Request) -> web.Response:
        return web.Response(text=as_yaml(document), content_type="application/yaml")

    page = Page(
        "asyncapi",
        "AsyncAPI",
        "asyncapi.html",
        data,
        nav="AsyncAPI",
        key="y",
        refresh_s=0,
        summary="The AsyncAPI 3 document: every topic, its messages, who sends and receives.",
    )
    return Section([page], routes=[web.get("/api/asyncapi.yaml", yaml)])
