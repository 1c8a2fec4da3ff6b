"""confluent-kafka's ``consume`` loop as its documentation has it, with a commit for each batch.

python confluent_read.py '{"servers", "topic", "group", "count", "kind"}'

``plain`` looks into no event; ``decode`` has ours: msgspec, into the event model. Their ``tuned``
forms do not let librdkafka stand still for a second after 100,000 queued events, as it does by
default: the setting's documentation says to lower it for that.
"""

from __future__ import annotations

import signal
import threading

import msgspec
from confluent_kafka import Consumer, KafkaException

from models import UserRegistered
from trunkline.bench.tally import Offsets, Tally, job, say

BATCH = 1000

given = job()
plain = given["kind"].startswith("plain")
tuned = {"fetch.queue.backoff.ms": 1} if given["kind"].endswith("tuned") else {}
tally = Offsets(given["count"]) if plain else Tally(given["count"])
decoded = msgspec.json.Decoder(UserRegistered).decode
stopped = threading.Event()


def handle(messages: list) -> None:
    if plain:
        tally.places([(message.partition(), message.offset()) for message in messages])
        return
    for message in messages:
        event = decoded(message.value())
        tally.event(event.user_id, event.email)


signal.signal(signal.SIGTERM, lambda *_: stopped.set())
consumer = Consumer(
    {
        "bootstrap.servers": given["servers"],
        "group.id": given["group"],
        "enable.auto.commit": False,
        "auto.offset.reset": "earliest",
        "isolation.level": "read_committed",
        **tuned,
    }
)
consumer.subscribe([given["topic"]])
try:
    while not stopped.is_set():
        messages = consumer.consume(num_messages=BATCH, timeout=0.1)
        for message in messages:
            if message.error():
                raise KafkaException(message.error())
        if messages:
            handle(messages)
            consumer.commit(asynchronous=False)
finally:
    consumer.close()
    say(**tally.summary())
