"""What a view makes of reports: rates, age, goodbyes."""

from __future__ import annotations

import msgspec
import pytest

from tests.support.reports import NOW_S, counted, record, report, tombstone
from trunkline.system.report import decode_report
from trunkline.system.workers import FORGET_S, Workers


class Clock:
    """Unix time that a test moves."""

    def __init__(self) -> None:
        self.now = NOW_S

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def workers(clock):
    return Workers(clock)


def test_rates_are_between_two_reports(workers):
    """They need nothing of the pod but its counters."""
    workers.take(record(report(at_s=NOW_S - 2, topics=counted(handled=100, failed=1))))
    workers.take(record(report(topics=counted(handled=300, failed=2))))

    (worker,) = workers.all()

    assert worker.rate("handled") == 100
    assert worker.rate("failed") == 0.5


def test_a_restart_is_no_negative_rate(workers):
    """The counters of another incarnation begin at 0 again."""
    workers.take(record(report(at_s=NOW_S - 2, topics=counted(handled=100))))
    workers.take(record(report(incarnation="second", topics=counted(handled=3))))

    assert workers.all()[0].rate("handled") == 0


def test_a_silent_pod_is_stale_after_ten_seconds_and_forgotten_after_a_day(workers, clock):
    """Crashed pods are seen, and do not stay for ever."""
    workers.take(record(report()))

    clock.now += 9
    assert not workers.all()[0].is_stale(clock.now)
    clock.now += 2
    assert workers.all()[0].is_stale(clock.now)
    assert workers.fresh() == []
    clock.now += FORGET_S
    assert workers.all() == []


def test_an_old_report_read_at_the_start_is_as_old_as_it_says(workers):
    """A pod that crashed an hour before the console started is stale at once."""
    workers.take(record(report(at_s=NOW_S - 3600)))

    assert workers.all()[0].age_s(NOW_S) == 3600


def test_the_clocks_of_two_hosts_need_not_agree(workers, clock):
    """A pod whose clock is some seconds behind is not stale while it reports."""
    workers.take(record(report(at_s=NOW_S - 6)))
    clock.now += 5

    assert not workers.all()[0].is_stale(clock.now)


def test_a_pod_whose_clock_is_minutes_behind_is_heard(workers, clock):
    """Its reports come as it writes them; what is read of the past comes all at once."""
    for second in range(0, 6, 2):
        workers.take(record(report(at_s=NOW_S - 300 + second)))
    assert workers.all()[0].is_stale(clock.now)

    for second in range(6, 10, 2):
        clock.now += 2
        workers.take(record(report(at_s=NOW_S - 300 + second)))

    assert workers.all()[0].age_s(clock.now) == 0
    clock.now += 11
    assert workers.all()[0].is_stale(clock.now)


def test_the_names_of_pods_that_ended_do_not_pile_up(workers):
    """Those of a Deployment's pods are never used again."""
    for number in range(300):
        pod = f"auth-service-{number}"
        workers.take(record(report(pod)))
        workers.take(tombstone(pod))

    assert len(workers.ended) == 200
    assert "auth-service-299" in workers.ended


def test_a_pod_that_said_goodbye_is_gone(workers):
    """A graceful stop is no alarm."""
    workers.take(record(report()))

    workers.take(tombstone("engine.1"))

    assert workers.all() == []
    assert "engine.1" in workers.ended


def test_fields_of_a_later_release_are_passed_over():
    """During a rolling update old consoles read new reports."""
    fields = {**msgspec.to_builtins(report()), "format": 2, "novelty": [1, 2]}

    assert decode_report(msgspec.json.encode(fields)).pod == "engine.1"


def test_what_is_no_report_is_an_error_for_the_reader_to_log(workers):
    """A stranger's record changes nothing."""
    stranger = record(report())
    stranger.value = b"not json"

    with pytest.raises(msgspec.MsgspecError):
        workers.take(stranger)

    assert workers.all() == []
