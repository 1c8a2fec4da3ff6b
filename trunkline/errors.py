"""Every error that Trunkline raises on purpose.

A message says what happened, where, and what to do next. The command line and the worker print it
without a traceback and end with the error's exit code.
"""

from __future__ import annotations


class TrunklineError(Exception):
    """Base of all errors that a user or an operator is meant to read."""

    exit_code = 1


class ConfigurationError(TrunklineError):
    """A setting, a flag or the topology is wrong: nothing was started. Exit code 2."""

    exit_code = 2


class BrokerError(TrunklineError):
    """Kafka could not be started, reached or asked."""


class RefusedError(BrokerError):
    """Kafka is there and does not take this client: TLS, SASL or rights are set wrongly."""


class TopologyError(TrunklineError):
    """What stands in the cluster does not fit what the topology declares."""


class PublishError(TrunklineError):
    """The broker did not acknowledge an event; the caller must send it again."""


class InvalidEventError(TrunklineError):
    """An event does not fit its topic's model.

    Attributes:
        field: JSON path of what is wrong, such as ``$.userId``; ``$`` for the whole event.
        reason: What is wrong with it.

    """

    exit_code = 2

    def __init__(self, reason: str, field: str = "$") -> None:
        super().__init__(f"{field}: {reason}")
        self.field = field
        self.reason = reason


class Permanent(TrunklineError):  # noqa: N818  # read as an adjective: raise Permanent("…")
    """Raise from a handler when no retry can help: the event is bad, not the world."""


class DependencyDown(TrunklineError):  # noqa: N818  # as above: raise DependencyDown("…")
    """Raise from a handler when what it needs is away: a database, another service.

    The event is not to blame: no retry is counted, its partition pauses uncommitted, and goes on
    when a probe succeeds (the breaker, issue 4).
    """
