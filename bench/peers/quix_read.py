"""Quix Streams as its documentation has it: a StreamingDataFrame over a JSON topic.

python quix_read.py '{"servers", "topic", "group", "count", "folder", "kind"}'

An event is a dict there; that its fields are there is checked by hand. Offsets are committed with
its checkpoints, every 5 s: at least once. ``default`` lets librdkafka stand still for a second
after 100,000 queued events, ``tuned`` does not.
"""

from __future__ import annotations

from quixstreams import Application

from trunkline.bench.tally import Tally, job, say

given = job()
tally = Tally(given["count"])
app = Application(
    broker_address=given["servers"],
    consumer_group=given["group"],
    auto_offset_reset="earliest",
    state_dir=given["folder"],
    consumer_extra_config={"fetch.queue.backoff.ms": 1} if given["kind"] == "tuned" else None,
    loglevel="WARNING",
)
events = app.topic(given["topic"], value_deserializer="json")
stream = app.dataframe(events)


def handle(event: dict) -> None:
    tally.event(event["userId"], event["email"])


stream = stream.update(handle)
app.run()
say(**tally.summary())
