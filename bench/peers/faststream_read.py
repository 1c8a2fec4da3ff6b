"""FastStream as its documentation has it: a subscriber with a pydantic model.

python faststream_read.py '{"servers", "topic", "group", "count", "kind"}'

``ack`` is ``AckPolicy.ACK`` (a commit after each message: at least once). ``default`` is its
default, ``ACK_FIRST``: aiokafka's auto-commit, which may commit what was not handled yet. ``batch``
is ``batch=True``. Its log line for each message, on by default, is off: it would be most of the
time.
"""

from __future__ import annotations

import asyncio
import logging

from faststream import AckPolicy, FastStream
from faststream.kafka import KafkaBroker
from pydantic import BaseModel

from trunkline.bench.tally import Tally, job, say


class UserRegistered(BaseModel):
    userId: str  # noqa: N815 - the name on the wire
    email: str


given = job()
tally = Tally(given["count"])
broker = KafkaBroker(given["servers"].split(","), log_level=logging.DEBUG)
app = FastStream(broker)
options = {"group_id": given["group"], "auto_offset_reset": "earliest"}

if given["kind"] == "ack":

    @broker.subscriber(given["topic"], ack_policy=AckPolicy.ACK, **options)
    async def handle(event: UserRegistered) -> None:
        tally.event(event.userId, event.email)

elif given["kind"] == "default":

    @broker.subscriber(given["topic"], **options)
    async def handle(event: UserRegistered) -> None:
        tally.event(event.userId, event.email)

else:

    @broker.subscriber(given["topic"], batch=True, **options)
    async def handle(events: list[UserRegistered]) -> None:
        tally.batch([event.userId for event in events])


@app.after_shutdown
async def summary() -> None:
    say(**tally.summary())


asyncio.run(app.run(log_level=logging.WARNING))
