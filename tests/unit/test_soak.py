"""The soak's own judgement: events it makes, memory it calls flat, and accounts it calls exact."""

from __future__ import annotations

from collections import Counter

import msgspec
import pytest

from trunkline.soak.account import Account
from trunkline.soak.fates import (
    FLAKY,
    GOOD,
    HOPELESS,
    Shares,
    invalid_value,
    make_event,
    read_value,
)
from trunkline.soak.memory import Memory, growth_of
from trunkline.soak.report import Report
from trunkline.soak.rest import all_open
from trunkline.topology import AUTH_REGISTERED, ORDER_CREATED

SHARES = Shares(flaky=0.2, hopeless=0.1, invalid=0.1)


@pytest.mark.parametrize("topic", [AUTH_REGISTERED, ORDER_CREATED])
def test_an_event_tells_its_number_and_its_fate(topic):
    """The account needs no memory of what was published."""
    kinds = Counter()
    for number in range(1000):
        event = make_event(topic, number, 7, SHARES)
        assert event == make_event(topic, number, 7, SHARES)
        kinds[event.user_id.partition("-")[0]] += 1
        found = read_value(msgspec.json.encode(event))
        assert found == (number, event.user_id.startswith(HOPELESS))
    assert 50 < kinds[HOPELESS] < 150
    assert 150 < kinds[FLAKY] < 250
    assert kinds[GOOD] > 600


def test_an_invalid_event_must_die():
    """It has no number: nobody acknowledged it."""
    assert read_value(invalid_value(3)) == (-1, True)


def samples(mb_per_h, hours=1.0, noise=3.0, peaks=()):
    """Return samples of a process that holds 100 MB at first."""
    found = []
    for n in range(200):
        at_s = n * hours * 3600 / 200
        mb = 100 + mb_per_h * at_s / 3600 + (noise if n % 7 == 0 else 0)
        found.append((at_s, mb + (80 if n in peaks else 0)))
    return found


def test_noise_and_peaks_are_flat_and_a_leak_is_not():
    """It is the slope that tells."""
    assert growth_of("pod", samples(0)).flat
    assert growth_of("pod", samples(2, peaks=(10, 150, 199))).flat
    leak = growth_of("pod", samples(20))
    assert not leak.flat
    assert leak.mb_per_h == pytest.approx(20, abs=1)
    assert not growth_of("pod", samples(2, hours=24)).flat


def test_samples_of_a_process_that_was_replaced_are_forgotten():
    """Its successor starts small, which is no sign of anything."""
    import os

    memory = Memory()
    memory.sample("pod", os.getppid(), 0)
    memory.sample("pod", os.getpid(), 1)
    memory.sample("gone", 2**22 + 1, 1)
    assert list(memory.now_mb()) == ["pod"]
    assert memory.growth(["pod", "gone"], 0) == []


def test_a_report_names_what_was_not_kept():
    """Nothing is fine by default: what was not looked at is a problem too."""
    report = Report(1)
    assert "not counted" in str(report)
    report.rest_s, report.account = 1.0, Account()
    assert report.ok
    report.account.note("lost", "auth.registered[0]@7 in engine")
    assert not report.ok
    assert "lost: auth.registered[0]@7 in engine" in str(report)
    assert report.as_dict()["problems"][0] == "1 events: lost"


@pytest.mark.parametrize(
    ("opened", "at_rest"),
    [
        ([[0], [1, 2]], True),
        ([[0, 1, 2], []], True),
        ([[0], [1]], False),
        ([[0, 1], [1, 2]], False),
    ],
)
def test_what_waits_in_a_partition_that_is_not_open_is_not_taken_for_nothing(opened, at_rest):
    """A pod that is recovering one says 0."""
    pods = [{"partitions": [{"partition": p, "open": True} for p in own]} for own in opened]
    pods[0]["partitions"].append({"partition": 2, "open": False})
    assert all_open(pods) is at_rest
