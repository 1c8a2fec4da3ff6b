"""Topics: partitions, offsets and rates; browsing and the live tail of one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
from aiohttp import web

from trunkline.console.asking import asked
from trunkline.console.context import ConsoleContext
from trunkline.console.registry import Page, Section


class TopicsQuery(msgspec.Struct, forbid_unknown_fields=True):
    """What the list of topics is filtered by."""

    name: str = ""


class TopicRow(msgspec.Struct):
    """A topic of the topology."""

    name: str
    partitions: int


def topics(context: ConsoleContext) -> Section:
    """Return the section."""

    async def data(request: web.Request) -> Mapping[str, Any]:
        query = asked(request, TopicsQuery)
        rows = [
            TopicRow(topic.name, topic.partitions)
            for topic in context.topology.topics()
            if query.name in topic.name
        ]
        return {"asked": query, "topics": rows}

    page = Page(
        "topics", "Topics", "topics/list.html", data, query=TopicsQuery, nav="Topics", key="t"
    )
    return Section(pages=[page])
