"""A plan in words: ``+`` to create, ``~`` to change, ``!`` not for us to do, ``=`` as it is."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from trunkline.topics.difference import Difference, Plan, TopicPlan
from trunkline.topics.requirements import APPLY, GROW
from trunkline.topics.view import RETENTION

Mark = Literal["+", "~", "!", "=", " "]
Line = tuple[Mark, str]

_UNITS = (("day", 86_400_000), ("hour", 3_600_000), ("minute", 60_000), ("second", 1000))


def describe(plan: Plan, *, applied: bool = False) -> Iterator[Line]:
    """Yield the plan line by line, each with the mark of its topic or property.

    Args:
        plan: What to describe.
        applied: Whether it comes from ``apply``: the lines then say what was done.

    """
    for topic in plan.topics:
        yield from _describe_topic(topic, applied=applied)
    yield from _summary(plan, applied=applied)


def readable(name: str, value: str) -> str:
    """Return a property's value with its duration in words, where it is one."""
    if name != RETENTION:
        return value or "unset"
    if value == "-1":
        return "-1 (for ever)"
    for unit, size_ms in _UNITS:
        if value.isdigit() and int(value) >= size_ms:
            count = int(value) / size_ms
            return f"{value} ({count:g} {unit}{'' if count == 1 else 's'})"
    return value or "unset"


def _describe_topic(topic: TopicPlan, *, applied: bool) -> Iterator[Line]:
    if topic.action == "create":
        yield "+", f"{topic.name}{' created' if applied and topic.created else ''}"
        yield "+", f"    {_count(topic.partitions, 'partition')}, {_copies(topic)}"
        for name, value in topic.configs.items():
            yield "+", f"    {name} {readable(name, value)}"
    if topic.differences:
        yield _worst_mark(topic), topic.name
    for difference in topic.differences:
        yield _mark(difference), f"    {_describe_difference(difference, applied=applied)}"


def _describe_difference(difference: Difference, *, applied: bool) -> str:
    name = difference.property
    actual, wanted = (readable(name, v) for v in (difference.actual, difference.wanted))
    if difference.action == "keep":
        return f"{name} {actual}, declared {wanted}: {difference.note}"
    text = f"{name} {actual} -> {wanted}"
    if difference.action == "refuse":
        return f"{text} refused: {difference.note}"
    if difference.note:
        return f"{text}: {difference.note}"
    if applied:
        return f"{text} {'done' if difference.done else f'left out; run: {GROW}'}"
    return f"{text} (only with --grow)" if difference.action == "grow" else text


def _summary(plan: Plan, *, applied: bool) -> Iterator[Line]:
    if plan.nothing_to_do:
        yield " ", f"Nothing to do: {_count(len(plan.topics), 'topic')} as declared."
        return
    done = "Done" if applied else "To do"
    created = sum(t.action == "create" for t in plan.topics)
    altered = sum(bool(t.altered_configs) for t in plan.topics)
    grown = sum(t.grows for t in plan.topics)
    left_out = len(plan.left_out) if applied else 0
    counts = {"create": created, "alter": altered, "grow": grown - left_out}
    parts = [f"{what} {count}" for what, count in counts.items() if count]
    yield " ", f"{done}: {', '.join(parts) or 'nothing'}."
    if left_out:
        yield "~", f"Left out: {_count(left_out, 'topic')} to grow. Run: {GROW}"
    if plan.refused:
        yield "!", "Refused: Kafka cannot take partitions away from a topic."
    if parts and not applied:
        yield " ", f"Run: {GROW if grown else APPLY}"


def _mark(difference: Difference) -> Mark:
    if difference.action in ("refuse", "reassign"):
        return "!"
    return "=" if difference.action == "keep" else "~"


def _worst_mark(topic: TopicPlan) -> Mark:
    marks: set[Mark] = {_mark(difference) for difference in topic.differences}
    return next((mark for mark in ("!", "~") if mark in marks), "=")


def _copies(topic: TopicPlan) -> str:
    return f"replication factor {topic.replication_factor}"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
