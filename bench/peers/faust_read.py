"""Stock Faust as its documentation has it: a Record, an agent, and ``async for`` or ``take``.

python faust_read.py '{"servers", "topic", "group", "count", "kind", "folder"}'

``take`` has batches of 1,000, or what comes within half a second. Faust acknowledges an event also
when the agent raised, or was cancelled half-way.
"""

from __future__ import annotations

import sys

import faust

from trunkline.bench.tally import job, say, tally_of

given = job()
tally = tally_of(given)


class UserRegistered(faust.Record):
    userId: str  # noqa: N815 - the name on the wire
    email: str


app = faust.App(
    given["group"],
    broker=[f"kafka://{server}" for server in given["servers"].split(",")],
    value_serializer="json",
    datadir=given["folder"],
    web_enabled=False,
    worker_redirect_stdouts=False,
)
events = app.topic(given["topic"], value_type=UserRegistered)

if given["kind"] == "take":

    @app.agent(events)
    async def handle(stream):
        async for batch in stream.take(1000, within=0.5):
            tally.batch([event.userId for event in batch])

else:

    @app.agent(events)
    async def handle(stream):
        async for event in stream:
            tally.event(event.userId, event.email)


@app.service
class Summary(faust.Service):
    async def on_stop(self) -> None:
        say(**tally.summary())


if __name__ == "__main__":
    sys.argv[1:] = ["worker", "-l", "warn"]
    app.main()
