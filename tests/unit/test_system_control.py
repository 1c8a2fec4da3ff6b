"""Which pods can be drained (no Kafka)."""

from __future__ import annotations

import time

import pytest

from tests.support.reports import record, report
from trunkline.connection import KafkaConnection
from trunkline.errors import ConfigurationError
from trunkline.system import control
from trunkline.system.workers import Workers
from trunkline.topology import Topology


@pytest.fixture
def reported(monkeypatch):
    """A function that has each reading of the reports find one that is so many seconds old."""
    monkeypatch.setattr(control, "REPORT_S", 0)

    def set_ages(*ages_s):
        now, left = time.time(), list(ages_s)

        async def read(*_):
            workers = Workers()
            workers.take(record(report("engine.1", at_s=now - left.pop(0))))
            return workers

        monkeypatch.setattr(control, "read_workers", read)

    return set_ages


async def running():
    return await control._running(KafkaConnection(["127.0.0.1:1"]), Topology(), "engine.1")


async def test_a_pod_whose_clock_is_behind_can_be_drained(reported):
    """It reports: that its reports look old is its clock."""
    reported(300, 298)

    assert (await running()).pod == "engine.1"


async def test_a_pod_that_is_silent_cannot(reported):
    """Nobody would obey."""
    reported(300, 300)

    with pytest.raises(ConfigurationError, match="has not reported for 300 s"):
        await running()
