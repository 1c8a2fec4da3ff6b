"""The difference between topology and cluster, without a cluster."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from trunkline.topics.comparison import plan_topics, wanted_configs
from trunkline.topics.view import ClusterTopic, ClusterView
from trunkline.topology import USER_ACTIVITY, Topology

TOPOLOGY = Topology("shop")
ACTIVITY = TOPOLOGY.real_name(USER_ACTIVITY)
ORDERS = "shop.order.created"
CHANGELOG = "shop.activity-group-activity-counts-changelog"
FAILURES = "shop.engine-group.failures"
RETRIES = "shop.engine-group-retries-changelog"
DEAD_LETTERS = "shop.dlq.order.created"


def as_declared(brokers=1, **changes):
    """Return a cluster in which all is as declared, but for the named topics' changes."""
    copies = 3 if brokers >= 3 else 1
    topics = {
        t.name: ClusterTopic(t.name, t.partitions, copies, wanted_configs(t, copies))
        for t in TOPOLOGY.topics()
    }
    for name, change in changes.items():
        topics[name] = replace(topics[name], **change)
    return ClusterView(brokers, topics)


def without(view, *names):
    """Return the view without some topics."""
    return replace(view, topics={k: v for k, v in view.topics.items() if k not in names})


def topic_of(plan, name):
    return next(t for t in plan.topics if t.name == name)


def only_difference(plan, name):
    (difference,) = topic_of(plan, name).differences
    return difference


def configs_of(view, name, **changes):
    return {**view.topics[name].configs, **{k.replace("_", "."): v for k, v in changes.items()}}


def test_an_empty_cluster_gets_every_declared_topic():
    """Each declared topic is created, in the order of the declaration."""
    plan = plan_topics(TOPOLOGY, ClusterView(1))

    assert [t.name for t in plan.steps(grow=False)] == [t.name for t in TOPOLOGY.topics()]
    assert {t.action for t in plan.topics} == {"create"}


@pytest.mark.parametrize(("brokers", "copies", "in_sync"), [(1, 1, "1"), (2, 1, "1"), (3, 3, "2")])
def test_replicates_where_there_are_three_brokers(brokers, copies, in_sync):
    """Three copies and two in sync with three brokers, else one of each."""
    orders = topic_of(plan_topics(TOPOLOGY, ClusterView(brokers)), ORDERS)

    assert orders.replication_factor == copies
    assert orders.configs["min.insync.replicas"] == in_sync


@pytest.mark.parametrize("brokers", [1, 3])
def test_says_nothing_to_do_when_all_is_as_declared(brokers):
    """A second apply finds no work."""
    plan = plan_topics(TOPOLOGY, as_declared(brokers))

    assert plan.nothing_to_do
    assert plan.steps(grow=True) == []


def test_sets_back_a_setting_that_drifted():
    """Only the setting that differs is altered."""
    view = as_declared()
    view = as_declared(**{ORDERS: {"configs": configs_of(view, ORDERS, retention_ms="1000")}})

    (step,) = plan_topics(TOPOLOGY, view).steps(grow=False)

    assert step.altered_configs == {"retention.ms": "604800000"}


def test_reads_cleanup_policies_in_any_order_and_spacing():
    """Kafka keeps the policies as they were written."""
    view = as_declared()
    view = as_declared(**{ORDERS: {"configs": configs_of(view, ORDERS, cleanup_policy=" delete ")}})

    assert plan_topics(TOPOLOGY, view).nothing_to_do


@pytest.mark.parametrize(("value", "actions"), [("9000000", []), ("1048588", ["alter"])])
def test_a_larger_message_limit_may_stay(value, actions):
    """Somebody may have raised it for a reason; a smaller one would refuse events."""
    view = as_declared()
    view = as_declared(**{ORDERS: {"configs": configs_of(view, ORDERS, max_message_bytes=value)}})

    assert [d.action for d in topic_of(plan_topics(TOPOLOGY, view), ORDERS).differences] == actions


def test_grows_only_on_request():
    """Missing partitions are shown, and are no step until they are asked for."""
    plan = plan_topics(TOPOLOGY, as_declared(**{ORDERS: {"partitions": 2}}))

    assert only_difference(plan, ORDERS).action == "grow"
    assert not plan.nothing_to_do
    assert plan.steps(grow=False) == []
    assert [(t.name, t.partitions) for t in plan.steps(grow=True)] == [(ORDERS, 4)]


def test_more_partitions_than_declared_are_kept():
    """Somebody grew the topic: that is no error, and nothing is taken away."""
    plan = plan_topics(TOPOLOGY, as_declared(**{ORDERS: {"partitions": 9}}))

    assert only_difference(plan, ORDERS).action == "keep"
    assert plan.nothing_to_do
    assert not plan.refused


def test_a_changelog_follows_a_source_that_somebody_grew():
    """The cluster's count of the source is what counts, not the declared one."""
    plan = plan_topics(TOPOLOGY, as_declared(**{ACTIVITY: {"partitions": 5}}), grow=True)

    assert [(t.name, t.partitions) for t in plan.steps(grow=True)] == [(CHANGELOG, 5)]


def test_a_changelog_grows_with_its_source():
    """Both go to the declared count."""
    view = as_declared(**{ACTIVITY: {"partitions": 1}, CHANGELOG: {"partitions": 1}})

    steps = plan_topics(TOPOLOGY, view, grow=True).steps(grow=True)

    assert {(t.name, t.partitions) for t in steps} == {(ACTIVITY, 3), (CHANGELOG, 3)}


@pytest.mark.parametrize(("grow", "partitions"), [(False, 1), (True, 3)])
def test_a_missing_changelog_is_made_for_the_source_as_it_will_be(grow, partitions):
    """Without growth the source stays small, and so must its changelog."""
    view = without(as_declared(**{ACTIVITY: {"partitions": 1}}), CHANGELOG)

    assert topic_of(plan_topics(TOPOLOGY, view, grow=grow), CHANGELOG).partitions == partitions


def test_a_retries_changelog_grows_with_its_failures_topic():
    """Somebody grew the failures topic: what waits there must be remembered, too."""
    plan = plan_topics(TOPOLOGY, as_declared(**{FAILURES: {"partitions": 6}}), grow=True)

    assert [(t.name, t.partitions) for t in plan.steps(grow=True)] == [(RETRIES, 6)]


def test_sets_back_a_retention_that_would_delete_dead_letters():
    """They carry their events' times, by which Kafka would delete an old one on arrival."""
    view = as_declared()
    drift = {"configs": configs_of(view, DEAD_LETTERS, retention_ms="604800000")}

    (step,) = plan_topics(TOPOLOGY, as_declared(**{DEAD_LETTERS: drift})).steps(grow=False)

    assert (step.name, step.altered_configs) == (DEAD_LETTERS, {"retention.ms": "-1"})


def test_a_changelog_that_is_too_large_is_refused():
    """It would have to shrink, and Kafka cannot do that."""
    plan = plan_topics(TOPOLOGY, as_declared(**{CHANGELOG: {"partitions": 8}}))

    assert plan.refused
    assert only_difference(plan, CHANGELOG).action == "refuse"
    assert ACTIVITY in only_difference(plan, CHANGELOG).note
    assert plan.steps(grow=True) == []


def test_too_few_replicas_are_shown_and_left_to_the_operator():
    """A cluster that grew to three brokers keeps its single copies writable."""
    view = replace(as_declared(brokers=1), brokers=3)

    plan = plan_topics(TOPOLOGY, view)

    assert {d.action for t in plan.topics for d in t.differences} == {"reassign"}
    assert plan.steps(grow=True) == []
    assert not plan.refused


def test_more_replicas_than_wanted_are_no_difference():
    """Three copies while only one broker counts: nothing to complain about."""
    view = replace(as_declared(brokers=3), brokers=1)

    assert plan_topics(TOPOLOGY, view).nothing_to_do


def test_lowers_a_minimum_in_sync_that_no_write_could_meet():
    """One copy and two in sync would refuse every write."""
    view = as_declared()
    view = as_declared(**{ORDERS: {"configs": configs_of(view, ORDERS, min_insync_replicas="2")}})

    (step,) = plan_topics(TOPOLOGY, view).steps(grow=False)

    assert step.altered_configs == {"min.insync.replicas": "1"}


def test_marks_as_done_what_the_last_reading_no_longer_lacks():
    """What was created or set is done; what was left out is not."""
    before = as_declared(**{ORDERS: {"partitions": 2, "configs": {}}})
    before = without(before, CHANGELOG)
    after = as_declared(**{ORDERS: {"partitions": 2}})

    plan = plan_topics(TOPOLOGY, before).compared_with(plan_topics(TOPOLOGY, after))

    assert topic_of(plan, CHANGELOG).created
    done = {d.property: d.done for d in topic_of(plan, ORDERS).differences}
    assert done.pop("partitions") is False
    assert set(done.values()) == {True}
    assert [t.name for t in plan.left_out] == [ORDERS]


def test_a_topic_that_somebody_created_first_and_wrongly_is_no_success():
    """The refusal shows although the first reading knew nothing of the topic."""
    before = plan_topics(TOPOLOGY, without(as_declared(), CHANGELOG))
    after = plan_topics(TOPOLOGY, as_declared(**{CHANGELOG: {"partitions": 8}}))

    assert before.compared_with(after).refused


def test_is_json():
    """The plan of an empty cluster survives a round trip."""
    plan = plan_topics(TOPOLOGY, ClusterView(1)).to_dict()

    assert json.loads(json.dumps(plan)) == plan
    assert plan["topics"][0]["action"] == "create"
