"""How often, when and for how long a topic's failed events are tried again."""

from __future__ import annotations

import random
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from trunkline.errors import ConfigurationError
from trunkline.retries.backoff import Backoff, ExponentialBackoff, parse_backoff
from trunkline.retries.error_classes import (
    ALWAYS_PERMANENT,
    ErrorClasses,
    FailureKind,
    kind_of,
)
from trunkline.retries.overrides import read_fields, unknown_topic
from trunkline.settings import Settings

WhenDead = Literal["continue", "follow"]


class _Latest(random.Random):
    """Draws the longest delay."""

    def random(self) -> float:
        """Return what shortens no delay."""
        return 1.0


_LATEST = _Latest()


@dataclass(frozen=True)
class RetryPolicy:
    """What becomes of the failed events of one topic in one group.

    Attributes:
        max_retries: Retries after the first attempt (seed: 3, so 4 attempts); None never gives up.
        backoff: The delays between attempts.
        deadline_s: Time since the first failure after which an event is given up, however many
            retries are left; None is no limit.
        permanent: Exceptions that no retry helps, besides ``Permanent`` and ``InvalidEventError``.
        transient: Exceptions that are retried although a base class or a cause is permanent.
        ordered: Whether later events of a failed event's key wait behind it.
        when_dead: Whether a key's waiting events are handled when the first of them became a dead
            letter (``continue``), or become dead letters too (``follow``).
        retryable: False for a handler that must run where the source partition is, because it
            writes a Faust table there: its failures become dead letters at once.

    Raises:
        ConfigurationError: A field is out of range, or a class stands in both lists.

    """

    max_retries: int | None = 3
    backoff: Backoff = field(default_factory=ExponentialBackoff)
    deadline_s: float | None = None
    permanent: ErrorClasses = ()
    transient: ErrorClasses = ()
    ordered: bool = True
    when_dead: WhenDead = "continue"
    retryable: bool = True

    def __post_init__(self) -> None:
        if self.max_retries is not None and self.max_retries < 0:
            raise ConfigurationError(
                f"max_retries is {self.max_retries}; it must be 0 or more, or none for no limit"
            )
        # Written so that "not a number" does not pass either.
        if self.deadline_s is not None and not self.deadline_s > 0:
            raise ConfigurationError(
                f"deadline_s is {self.deadline_s:g}; it must be above 0, or none for no limit"
            )
        if both := set(self.permanent) & set(self.transient):
            names = ", ".join(sorted(cls.__qualname__ for cls in both))
            raise ConfigurationError(
                f"{names} is in both 'permanent' and 'transient'; take it out of one of them"
            )
        for cls in self.transient:
            if issubclass(cls, ALWAYS_PERMANENT):
                raise ConfigurationError(
                    f"{cls.__qualname__} is always permanent; take it out of 'transient'"
                )

    def kind_of(self, error: BaseException) -> FailureKind:
        """Tell whether a retry may help; see :func:`trunkline.retries.error_classes.kind_of`."""
        return kind_of(error, self.permanent, self.transient)

    def retries(self, kind: str) -> bool:
        """Tell whether an event that failed for the first time is tried again at all.

        Args:
            kind: ``invalid``, ``permanent`` or ``transient``.

        """
        return kind == "transient" and self.retryable and self.max_retries != 0

    def delay_s(self, attempts: int, rng: random.Random) -> float:
        """Return how long to wait after so many failed attempts (1 or more), in seconds."""
        return self.backoff.delay_s(attempts, rng)

    def longest_delay_s(self, attempts: int) -> float:
        """Return the longest that an event may wait after so many failed attempts, in seconds."""
        return self.backoff.delay_s(attempts, _LATEST)

    def is_exhausted(self, attempts: int, first_failed_at_ms: int, now_ms: int) -> bool:
        """Tell whether an event is given up.

        Args:
            attempts: How many have failed; one that was never tried is never given up.
            first_failed_at_ms: When the first one failed (Unix time).
            now_ms: The time now.

        """
        if attempts < 1:
            return False
        if not self.retryable:
            return True
        if self.max_retries is not None and attempts > self.max_retries:
            return True
        return self.deadline_s is not None and now_ms - first_failed_at_ms >= self.deadline_s * 1000


def policy_for(
    settings: Settings, topic_plain_name: str, default: RetryPolicy | None = None
) -> RetryPolicy:
    """Return the policy of a topic.

    Args:
        settings: ``TRUNKLINE_RETRY`` overrides single fields of what follows.
        topic_plain_name: Without the namespace, such as ``order.created``.
        default: What holds for the rest, else ``MAX_RETRIES``, ``TRUNKLINE_RETRY_BACKOFF`` and
            ``TRUNKLINE_RETRY_DEADLINE_S``.

    Raises:
        ConfigurationError: The overrides are wrong; see :func:`check_policies`.

    """
    base = default or default_policy(settings)
    policy, problems = _override(base, topic_plain_name, settings.retry.get(topic_plain_name, {}))
    _raise_if_any(problems)
    return policy


def default_policy(settings: Settings) -> RetryPolicy:
    """Return the policy of topics that no setting names."""
    return RetryPolicy(
        max_retries=settings.max_retries,
        backoff=parse_backoff(settings.retry_backoff),
        deadline_s=settings.retry_deadline_s or None,
    )


def check_policies(settings: Settings, known_topics: Iterable[str]) -> None:
    """Check ``TRUNKLINE_RETRY`` as a whole, before anything starts.

    Args:
        settings: Where it stands.
        known_topics: Plain names of the topics that it may name.

    Raises:
        ConfigurationError: An unknown topic or field, a value of the wrong type or out of range,
            a class that cannot be imported or is no exception, or one that is in both lists. The
            message has a line for each: the variable, the value, and what to do.

    """
    known = list(known_topics)
    base = default_policy(settings)
    problems: list[str] = []
    for topic, overrides in settings.retry.items():
        if topic in known:
            problems += _override(base, topic, overrides)[1]
        else:
            problems.append(unknown_topic(topic, known))
    _raise_if_any(problems)


def _override(base: RetryPolicy, topic: str, overrides: Any) -> tuple[RetryPolicy, list[str]]:
    """Return the policy with a topic's overrides, and what is wrong with them."""
    fields, problems = read_fields(topic, overrides)
    try:
        return replace(base, **fields), problems
    except ConfigurationError as error:
        return base, [*problems, f"TRUNKLINE_RETRY, {topic}: {error}"]


def _raise_if_any(problems: list[str]) -> None:
    if problems:
        raise ConfigurationError("Wrong settings:\n  " + "\n  ".join(problems))
