"""A reader that follows waits for a broker that goes away; one that does not, says so and ends."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from trunkline.connection import KafkaConnection
from trunkline.errors import BrokerError
from trunkline.tailing import reading
from trunkline.tailing.reading import Start, TopicReader


class Reader(TopicReader):
    """Gives a record with each poll, but for those that fail; opens when it may."""

    def __init__(self, polls, opens=()):
        super().__init__("t", KafkaConnection(("127.0.0.1:1",)), Start())
        self.polls, self.opens = list(polls), list(opens)
        self.closed = 0

    async def open(self):
        if self.opens and self.opens.pop(0) == "away":
            raise TimeoutError
        self.positions.setdefault(0, 0)
        self._targets.setdefault(0, 99)
        return True

    async def close(self):
        self.closed += 1

    async def poll(self):
        if self.polls.pop(0) == "away":
            raise BrokerError("no answer")
        return [SimpleNamespace(partition=0, offset=self.positions[0])]


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(reading, "_RETRY_S", 0.001)


async def test_waits_for_a_broker_that_goes_away_and_goes_on_where_it_was():
    """It says so once, and when it is there again; no record is missed or comes twice."""
    said, seen = [], []
    reader = Reader(["ok", "ok", "away", "ok", "ok"], ["ok", "away", "away", "ok"])
    async for records in reader.records(follow=True, say=said.append):
        seen += [record.offset for record in records]
        if len(seen) == 4:
            break
    assert seen == [0, 1, 2, 3]
    assert len(said) == 2
    assert "127.0.0.1:1 does not answer" in said[0]
    assert said[0].endswith("Waiting for it …")
    assert said[1] == "Kafka is there again."


async def test_ends_when_the_broker_goes_away_and_it_does_not_follow():
    """What is missing must not look like the end."""
    reader = Reader(["ok", "away"])
    with pytest.raises(BrokerError, match="does not answer"):
        async for _ in reader.records(follow=False, say=print):
            pass
    assert reader.closed


async def test_does_not_begin_without_a_broker():
    """Also when it is to follow: the address may be wrong."""
    with pytest.raises(BrokerError, match="does not answer"):
        async for _ in Reader([], ["away"]).records(follow=True, say=print):
            pass
