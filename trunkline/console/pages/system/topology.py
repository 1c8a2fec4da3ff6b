"""Topology: publishers → topics → services → failures → dead letters, with what flows now."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
from aiohttp import web

from trunkline.console.acting import needed
from trunkline.console.context import ConsoleContext
from trunkline.console.pages.system.flows import Edge, Node, flows_of
from trunkline.console.pages.system.picture import Picture, draw
from trunkline.console.registry import Page, Section


class TopologyAnswer(msgspec.Struct):
    """The graph, and the picture of it."""

    ready: bool
    nodes: list[Node]
    edges: list[Edge]
    picture: Picture


def topology_picture(context: ConsoleContext) -> Section:
    """Return the section."""

    async def data(request: web.Request) -> Mapping[str, Any]:
        view = needed(context.view, "view of the system")
        flows = flows_of(view)
        return {
            "ready": view.caught_up,
            "nodes": flows.nodes,
            "edges": flows.edges,
            "names": {node.id: node.name for node in flows.nodes},
            "picture": draw(flows),
        }

    page = Page(
        "topology",
        "Topology",
        "system/topology.html",
        data,
        answer=TopologyAnswer,
        nav="Topology",
        key="y",
        summary="Who sends what to whom, with the rates of now.",
    )
    return Section(pages=[page])
