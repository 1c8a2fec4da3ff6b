"""Stock Faust agents that keep retry counts in a table.

python faust_table.py '{"servers", "topic", "dead_letters", "group", "count", "good", "folder",
                        "counts"}'

As Faust's documentation has it: a Record, ``async for`` over the stream, ``app.Table`` with its
changelog in Kafka, ``await topic.send``. By "counts":

- "each": an attempt that failed is counted in the table, and the event sent to a topic of retries,
  which another agent reads; after the last retry it is sent to the dead letters. One table write
  and one send for each attempt that fails. This is as near as stock Faust comes to a count that
  survives: its changelog is buffered and the send is not, so a kill may still lose counts.
- "once": the attempts follow each other at once in the agent, counted in memory; after the last one
  the sum is written to the table, and the event sent to the dead letters. While an event is tried,
  everything behind it waits, and a worker that dies forgets the counts.

Faust acknowledges an event also when the agent was cancelled half-way.
"""

from __future__ import annotations

import json
import resource
import sys
import time

import faust

MAX_RETRIES = 3
PARTITIONS = 3

job = json.loads(sys.argv[1])


class UserRegistered(faust.Record):
    userId: str  # noqa: N815 - the name on the wire
    email: str


app = faust.App(
    job["group"],
    broker=[f"kafka://{server}" for server in job["servers"].split(",")],
    value_serializer="json",
    topic_partitions=PARTITIONS,
    datadir=job["folder"],
    web_enabled=False,
)
events = app.topic(job["topic"], value_type=UserRegistered)
again = app.topic(
    f"{job['group']}.again", value_type=UserRegistered, partitions=PARTITIONS, internal=True
)
dead_letters = app.topic(job["dead_letters"], value_type=UserRegistered)
retries = app.Table("retries", default=int, partitions=PARTITIONS)

seen = bytearray(job["count"])
counts = dict.fromkeys(("handled", "distinct", "attempts", "done"), 0)


def say(**line: float) -> None:
    # Faust makes log lines of what is printed.
    sys.__stdout__.write(json.dumps(line) + "\n")
    sys.__stdout__.flush()


async def handle(event: UserRegistered) -> None:
    if event.email.endswith("@fails.example.com"):
        counts["attempts"] += 1
        raise ValueError("Processing failed")
    number = int(event.email[4 : event.email.index("@")])
    counts["handled"] += 1
    if not seen[number]:
        seen[number] = 1
        counts["distinct"] += 1
        if counts["distinct"] == job["good"]:
            say(good_at=time.time())


def done() -> None:
    counts["done"] += 1
    if counts["done"] == job["count"]:
        say(through_at=time.time())


async def count_once(event: UserRegistered) -> None:
    attempts = 0
    while True:
        try:
            await handle(event)
        except ValueError:
            attempts += 1
            if attempts <= MAX_RETRIES:
                continue
            retries[event.userId] += attempts
            await dead_letters.send(key=event.userId, value=event)
        done()
        return


async def count_each(event: UserRegistered) -> None:
    try:
        await handle(event)
    except ValueError:
        attempts = retries[event.userId] + 1
        retries[event.userId] = attempts
        if attempts <= MAX_RETRIES:
            await again.send(key=event.userId, value=event)
            return
        await dead_letters.send(key=event.userId, value=event)
    done()


if job["counts"] == "each":
    take = count_each

    @app.agent(again)
    async def consume_again(stream):
        async for event in stream:
            await count_each(event)

else:
    take = count_once


@app.agent(events)
async def consume(stream):
    began = False
    async for event in stream:
        if not began:
            began = True
            say(began_at=time.time())
        await take(event)


@app.service
class Summary(faust.Service):
    async def on_stop(self) -> None:
        used = resource.getrusage(resource.RUSAGE_SELF)
        say(
            **counts,
            cpu_s=round(used.ru_utime + used.ru_stime, 3),
            rss_mb=round(used.ru_maxrss / 1024, 1),
        )


if __name__ == "__main__":
    sys.argv[1:] = ["worker", "-l", "warn"]
    app.main()
