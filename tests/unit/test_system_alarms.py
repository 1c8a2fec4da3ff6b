"""What is wrong, found in one look at a situation."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.support.reports import NOW_S, counted, report
from trunkline.system.alarms import Situation, alarms, health
from trunkline.system.brokers import BrokersView, Place
from trunkline.system.groups import group_states
from trunkline.system.history import Point
from trunkline.system.report import RetriesReport, TopicReport
from trunkline.system.workers import Worker
from trunkline.topology import SERVICES, TOPICS, Topology

ENGINE = tuple(s for s in SERVICES if s.name == "engine")
TOPOLOGY = Topology("", ENGINE, tuple(t for t in TOPICS if t.name in ENGINE[0].reads))
CAUGHT_UP = {
    ("auth.registered", 0): Place(0, 10, 10),
    ("order.created", 0): Place(0, 10, 10),
}
BEHIND = {**CAUGHT_UP, ("order.created", 0): Place(0, 900, 10)}
WELL = BrokersView(at_s=NOW_S, groups={"engine-group": CAUGHT_UP}, brokers=1)


def situation(*reports, brokers=WELL, age_s=0.0, **more):
    workers = [Worker(each, NOW_S - age_s) for each in reports or (report(),)]
    groups = group_states(TOPOLOGY, workers, brokers, NOW_S)
    return Situation(NOW_S, workers, groups, brokers, **more)


def kinds(now):
    return [alarm.kind for alarm in alarms(now)]


def test_a_healthy_system_has_no_alarm():
    """And says so in one line."""
    now = situation()

    assert alarms(now) == []
    assert health([], now) == ("ok", "All is well: 1 pod reports, lag 0.")


def test_a_pod_that_is_silent():
    """It may have crashed, or lost Kafka."""
    (alarm, *_) = alarms(situation(age_s=30))

    assert alarm.kind == "stale"
    assert "engine.1 has not reported for 30 s" in alarm.text


def test_a_pod_that_died_long_ago_is_no_emergency():
    """Its name may never come back; a group that nobody serves has an alarm of its own."""
    publisher = report("auth-service-5f", service="auth-service", group=None, consumes=False)
    severities = [alarms(situation(publisher, age_s=age_s))[0].severity for age_s in (800, 1000)]

    assert severities == ["critical", "warning"]


def test_a_group_without_a_worker_and_with_lag():
    """Nobody handles what is published."""
    brokers = replace(WELL, groups={"engine-group": BEHIND})

    now = situation(report(service="x", group=None, consumes=False), brokers=brokers)

    assert kinds(now) == ["no-worker"]
    assert "engine-group has no worker, and 890 events wait" in alarms(now)[0].text


def test_a_group_without_a_worker_and_without_lag_is_no_alarm():
    """A service that is not deployed yet."""
    now = situation(report(service="x", group=None, consumes=False))

    assert kinds(now) == []


@pytest.mark.parametrize(
    ("lags", "grows"),
    [
        ([100, 200, 300, 400], True),
        ([400, 300, 500, 600], False),
        ([1, 2, 3, 4], False),
        ([400], False),
    ],
)
def test_a_lag_that_grows(lags, grows):
    """For a minute on end, and not the pulse of a busy group."""
    known = {
        "engine-group": [(NOW_S - 20 * (len(lags) - 1 - i), lag) for i, lag in enumerate(lags)]
    }

    assert (kinds(situation(lags=known)) == ["lag-growing"]) is grows


def test_a_paused_group_may_fall_behind():
    """An operator wants that; it is told, lest they forget."""
    lags = {"engine-group": [(NOW_S - 20 * i, 4000 - 1000 * i) for i in (3, 2, 1, 0)]}

    now = situation(lags=lags, pauses={"engine-group": ["order.created"]})

    assert kinds(now) == ["paused"]
    assert health(alarms(now), now)[0] == "ok"


def test_an_open_breaker_and_a_tripped_guard():
    """Events wait: critical, with the topic and the pod."""
    topic = TopicReport(breaker={"state": "half-open"}, flood_guard={"state": "tripped"})

    now = situation(report(topics={"order.created": topic}))

    assert kinds(now) == ["flood-guard", "breaker"]
    assert all("order.created" in a.text and "engine.1" in a.text for a in alarms(now))


@pytest.mark.parametrize(
    ("fields", "kind", "severity"),
    [
        ({"live": False, "live_reason": "order.created[0] stands still"}, "stuck", "critical"),
        ({"ready": False, "ready_reason": "waiting"}, "not-ready", "warning"),
        ({"lost": 7}, "lost", "critical"),
        ({"unreadable": 1}, "unreadable", "critical"),
        ({"retries": RetriesReport(next_due_in_ms=-60_000)}, "retries-overdue", "warning"),
        ({"state": "drained", "ready": False}, "drained", "info"),
    ],
)
def test_what_a_pod_says_of_itself(fields, kind, severity):
    """One alarm for each, as bad as it is."""
    (alarm,) = alarms(situation(report(**fields)))

    assert (alarm.kind, alarm.severity) == (kind, severity)


def test_a_pod_that_starts_is_not_ready_yet():
    """That is no alarm."""
    started = int((NOW_S - 10) * 1000)

    assert kinds(situation(report(ready=False, started_at_ms=started))) == []


def test_dead_letters_are_new_for_ten_minutes():
    """Counted over the pods; a pod that ended takes its count with it, and that is no news."""
    points = [
        Point(NOW_S - 900, dead=0),
        Point(NOW_S - 500, dead=5),
        Point(NOW_S - 100, dead=8),
        Point(NOW_S - 50, dead=2),
    ]

    (alarm,) = alarms(situation(points=points))

    assert alarm.kind == "dead-letters"
    assert alarm.text.startswith("3 events became dead letters")


def test_brokers_that_are_away():
    """The first thing to say, for everything else is old."""
    now = situation(brokers=replace(WELL, at_s=NOW_S - 60, error="no route"))

    assert kinds(now)[0] == "kafka-away"
    assert health(alarms(now), now) == ("failing", "Kafka does not answer: no route.")


def test_an_absent_kafka_is_the_one_cause():
    """Every pod is silent then: alarms of their own would hide why."""
    now = situation(age_s=60, brokers=BrokersView(error="Kafka at k:9092 does not answer: refused"))
    assert kinds(now) == ["kafka-away"]
    assert health(alarms(now), now)[1] == "Kafka at k:9092 does not answer: refused."


def test_pods_that_are_silent_with_kafka_are_no_alarm():
    """They fall silent before the last reading of the brokers is old."""
    brokers = replace(WELL, at_s=NOW_S - 11, error="Kafka at k:9092 does not answer: refused")
    assert kinds(situation(age_s=10.5, brokers=brokers)) == ["kafka-away"]
    assert kinds(situation(age_s=1, brokers=brokers)) == []
    assert kinds(situation(age_s=10.5, brokers=replace(brokers, error=""))) == ["stale"]


def test_open_dead_letters_are_a_note():
    """However long ago they came: the first line does not say that all is well."""
    index = report("dlq.1", service="dlq", group=None, dead_letters={"open": 12})
    now = situation(report(), index, report("dlq.2", group=None, dead_letters={"open": "?"}))
    (note,) = alarms(now)
    assert (note.severity, note.link) == ("info", "/console/dead-letters")
    told = "12 dead letters are open: nobody has dealt with them."
    assert health([note], now) == ("ok", f"No alarm: 3 pods report, lag 0. To note: {told}")


def test_copies_and_leaders_that_are_away():
    """A broker is gone: told with the partitions."""
    brokers = replace(WELL, under_replicated=("a[0]", "b[1]"), leaderless=("a[1]",), missing=("c",))

    assert kinds(situation(brokers=brokers)) == ["leaderless", "missing-topics", "under-replicated"]


def test_pods_of_a_service_that_differ():
    """A setting that reached one pod only, or a rolling update."""
    pods = (report("engine.1", settings_digest="a"), report("engine.2", settings_digest="b"))

    assert kinds(situation(*pods)) == ["settings-differ"]


def test_the_worst_is_told_first():
    """With the number of the others."""
    now = situation(report(lost=1, ready=False), points=[Point(NOW_S - 9), Point(NOW_S, dead=1)])

    assert health(alarms(now), now)[1].endswith("And 2 more.")
    assert kinds(now)[0] == "lost"


def test_rates_of_a_group_are_summed_over_its_pods():
    """And the lag is the brokers', who know it also for partitions that nobody has."""
    workers = [
        Worker(
            report(f"engine.{i}", topics=counted(handled=1)),
            NOW_S,
            {"order.created": {"handled": 5.0}},
        )
        for i in (1, 2)
    ]
    (state,) = group_states(
        TOPOLOGY, workers, replace(WELL, groups={"engine-group": BEHIND}), NOW_S
    )

    assert state.lag == 890
    assert state.topics["order.created"].handled_per_s == 10
    assert state.pods == ("engine.1", "engine.2")
