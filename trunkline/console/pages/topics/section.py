"""The pages of topics: a list, one topic with its records, one record; downloads and live tails."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from typing import Any

from aiohttp import web

from trunkline.console.asking import asked
from trunkline.console.context import ConsoleContext
from trunkline.console.pages.topics.browsing import MAX_SEARCHED, TopicBrowser
from trunkline.console.pages.topics.listing import Listing
from trunkline.console.pages.topics.rows import record_row, whole_record
from trunkline.console.pages.topics.shapes import (
    KINDS,
    BrowseQuery,
    Found,
    TailQuery,
    TopicsQuery,
)
from trunkline.console.pages.topics.tailing import LiveTails
from trunkline.console.pages.topics.taking import MOST_BYTES, Reading
from trunkline.console.refusals import Refusal
from trunkline.console.registry import Page, Section
from trunkline.topology import Topic

_MAX_MS = 253_402_300_799_000  # the year 9999


def topics(context: ConsoleContext) -> Section:
    """Return the section."""
    pages = TopicPages(context)
    return Section(
        pages=[
            Page(
                "topics",
                "Topics",
                "topics/list.html",
                pages.list,
                query=TopicsQuery,
                nav="Topics",
                key="t",
                summary="All topics of the topology, with offsets and rates.",
            ),
            Page(
                "topics/{topic}",
                "Topic",
                "topics/topic.html",
                pages.topic,
                query=BrowseQuery,
                summary="One topic: partitions, and records by offset, time or key.",
            ),
            Page(
                "topics/{topic}/{partition}/{offset}",
                "Record",
                "topics/record.html",
                pages.record,
                refresh_s=0,
                summary="One record with key, value and headers.",
            ),
        ],
        routes=[
            web.get("/api/topics/{topic}/tail", pages.tail),
            web.get("/api/topics/{topic}/{partition}/{offset}/value", pages.value),
        ],
        parts=[pages.tails],
    )


class TopicPages:
    """Gives the pages their data."""

    def __init__(self, context: ConsoleContext) -> None:
        self._context = context
        self._listing = Listing(context)
        client_id = f"{context.settings.pod_name}.console"
        self._browser = TopicBrowser(context.settings.connection, client_id)
        self.tails = LiveTails(context)

    async def list(self, request: web.Request) -> Mapping[str, Any]:
        """Return the data of the list."""
        query = asked(request, TopicsQuery)
        rows = [
            row
            for row in self._listing.topics()
            if query.name.lower() in row.name.lower() and query.kind in (None, row.kind)
        ]
        return {
            "asked": query,
            "kinds": KINDS,
            "topics": rows,
            "unknown": self._listing.why_unknown(),
        }

    async def topic(self, request: web.Request) -> Mapping[str, Any]:
        """Return the data of one topic, with the records that are asked for."""
        query = asked(request, BrowseQuery)
        topic = self._topic(request)
        is_newest = query.offset is None and query.at is None
        view = self._context.view
        times, rates = view.flow.series(topic.name) if view else ([], [])
        return {
            "title": topic.name,
            "asked": query,
            "topic": self._listing.topic(topic),
            "retention_ms": topic.retention_ms,
            "cleanup_policy": topic.cleanup_policy,
            "model": topic.model.__name__ if topic.model else None,
            "partitions": self._listing.partitions(topic),
            "unknown": self._listing.why_unknown(),
            "rates": {"x": times, "series": [{"label": "records/s", "values": rates}]},
            "found": await self._find(topic.name, query),
            # What stands at an offset does not change; a search is not repeated all the time.
            "refresh_s": 5.0 if is_newest and not query.key else 0,
        }

    async def record(self, request: web.Request) -> Mapping[str, Any]:
        """Return the data of one record."""
        found = await self._record(request)
        return {
            "title": f"{found.topic}[{found.partition}]@{found.offset}",
            "record": whole_record(self._context, found),
        }

    async def value(self, request: web.Request) -> web.StreamResponse:
        """Answer a record's value as a download, its fields masked."""
        found = await self._record(request)
        name = f"{found.topic}-{found.partition}-{found.offset}"
        shown = self._context.masking.payload(found.value) or b""
        return web.Response(
            body=shown,
            content_type="application/octet-stream",
            headers={"Content-Disposition": f'attachment; filename="{name}.bin"'},
        )

    async def tail(self, request: web.Request) -> web.StreamResponse:
        """Answer with the live tail of a topic."""
        query = asked(request, TailQuery)
        topic = self._topic(request)
        return await self.tails.serve(request, topic.name, query.partition)

    async def _record(self, request: web.Request) -> Any:
        topic = self._topic(request)
        partition = _number(request, "partition", 2**31 - 1)
        return await self._browser.record(
            topic.name, partition, _number(request, "offset", 2**63 - 1)
        )

    def _topic(self, request: web.Request) -> Topic:
        """Return the topic of the path: only those of the topology can be looked into."""
        name = request.match_info["topic"]
        found = {topic.name: topic for topic in self._context.topology.topics()}
        if name not in found:
            raise Refusal(
                404, f"The topology has no topic {name[:200]!r}.", "See the list of topics."
            )
        return found[name]

    async def _find(self, topic: str, query: BrowseQuery) -> Found:
        at_ms = _time(query.at)
        partition, limit = query.partition, query.limit
        browser = self._browser
        if query.key is not None:
            key = _key(query.key)
            return self._found(await browser.with_key(topic, partition, key, at_ms, limit), query)
        if query.offset is not None:
            reading = await browser.from_offset(topic, partition, query.offset, limit)
        elif at_ms is not None:
            reading = await browser.from_time(topic, partition, at_ms, limit)
        else:
            reading = await browser.newest(topic, partition, limit)
        return self._found(reading, query)

    def _found(self, reading: Reading, query: BrowseQuery) -> Found:
        records = reading.records
        found = Found(
            [record_row(self._context, record) for record in records], searched=reading.searched
        )
        if reading.stopped:
            found.stopped = _why_stopped(reading, query)
            found.next_at_ms = reading.last_ms if query.at is not None else None
        if query.partition is not None and records and query.key is None:
            offsets = [record.offset for record in records]
            begin, end = reading.begins[query.partition], reading.ends[query.partition]
            if max(offsets) + 1 < end:
                found.next_offset = max(offsets) + 1
            if min(offsets) > begin:
                found.previous_offset = max(begin, min(offsets) - query.limit)
        return found


def _why_stopped(reading: Reading, query: BrowseQuery) -> str:
    if reading.stopped == "time":
        return f"Stopped after 5 seconds and {reading.searched:,} records; there are more."
    if reading.stopped == "size":
        return f"Not all that was asked for: it has more than {MOST_BYTES // 2**20} MiB."
    if query.key is not None and query.at is None:
        return f"Only the newest {MAX_SEARCHED:,} offsets were searched: name a time to go back."
    return f"Stopped after {reading.searched:,} records; there are more."


def _number(request: web.Request, name: str, largest: int) -> int:
    text = request.match_info[name]
    number = int(text) if text.isascii() and text.isdigit() and len(text) <= 19 else -1
    if not 0 <= number <= largest:
        raise Refusal(404, f"{text[:50]!r} is no {name}.", "It is a number from 0.")
    return number


def _time(text: str | None) -> int | None:
    """Return a time of the form as Unix milliseconds; without a zone it is UTC."""
    if text is None:
        return None
    if text.isascii() and text.isdigit() and len(text) <= 15:
        return min(int(text), _MAX_MS)
    try:
        at = dt.datetime.fromisoformat(text)
    except ValueError:
        raise Refusal(
            400,
            f"at={text[:50]!r} is no time.",
            "Write 2026-11-25T23:20, or Unix milliseconds.",
            "?at",
        ) from None
    if at.tzinfo is None:
        at = at.replace(tzinfo=dt.UTC)
    return max(0, int(at.timestamp() * 1000))


def _key(text: str) -> bytes:
    if not text.startswith("0x"):
        return text.encode(errors="replace")
    try:
        return bytes.fromhex(text[2:])
    except ValueError:
        raise Refusal(
            400, f"key={text[:50]!r} is no hexadecimal.", "Write 0x6b6579, or plain text.", "?key"
        ) from None
