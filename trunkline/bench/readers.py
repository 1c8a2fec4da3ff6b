"""Who reads: ours, the bare loops that are the limit, and what a user would take instead."""

from __future__ import annotations

import sys

from trunkline.bench.measure import Reader
from trunkline.bench.ours import our_worker
from trunkline.bench.peers import PEERS, peers_python, require_peers

#: The contestant that ratios are against.
BARE = "aiokafka getmany, commit per batch"
#: librdkafka's, which by default stands still for a second after 100,000 queued events.
_WITHOUT_PAUSE = ", fetch.queue.backoff.ms 1"


def bare() -> Reader:
    """Return the limit: records are fetched, counted and committed, and not looked into."""
    return Reader(BARE, (sys.executable, "-m", "trunkline.bench.bare"), "plain")


def bare_decoding() -> Reader:
    """Return the limit of a loop that decodes and validates as ours does."""
    command = (sys.executable, "-m", "trunkline.bench.bare")
    return Reader("aiokafka getmany, our decoding", command, "decode")


def ours_one() -> Reader:
    """Return our worker with a handler for one event."""
    return Reader("trunkline, a handler for one event", our_worker(), "one", ours=True)


def ours_batch() -> Reader:
    """Return our worker with a handler for batches."""
    return Reader("trunkline, a handler for batches", our_worker(), "batch", ours=True)


def kafkajs(name: str, kind: str, *, slow: bool = False) -> Reader:
    """Return kafkajs, read in one of its ways."""
    require_peers()
    command = ("node", str(PEERS / "kafkajs_read.mjs"))
    return Reader(f"kafkajs {name}", command, kind, slow=slow)


def python_peer(script: str, name: str, kind: str, *, slow: bool = False) -> Reader:
    """Return a peer of Python, from the environment that they have for themselves."""
    return Reader(name, (peers_python(), str(PEERS / script)), kind, slow=slow)


def peers() -> list[Reader]:
    """Return all that a user would take instead, each configured as its documentation says.

    Raises:
        TrunklineError: They cannot be installed.

    """
    return [
        kafkajs("eachMessage, commit per message", "commit", slow=True),
        kafkajs("eachMessage, autoCommit", "auto"),
        kafkajs("eachBatch", "batch"),
        python_peer("faststream_read.py", "FastStream, AckPolicy.ACK", "ack", slow=True),
        python_peer("faststream_read.py", "FastStream, default", "default", slow=True),
        python_peer("faststream_read.py", "FastStream, batch", "batch"),
        python_peer("quix_read.py", "Quix Streams", "default"),
        python_peer("quix_read.py", f"Quix Streams{_WITHOUT_PAUSE}", "tuned"),
        python_peer("faust_read.py", "stock Faust, async for", "async_for", slow=True),
        python_peer("faust_read.py", "stock Faust, take", "take", slow=True),
        *(
            python_peer("confluent_read.py", f"confluent-kafka consume{how}", kind)
            for how, kind in (
                ("", "plain"),
                (", our decoding", "decode"),
                (_WITHOUT_PAUSE, "plain tuned"),
                (f", our decoding{_WITHOUT_PAUSE}", "decode tuned"),
            )
        ),
    ]
