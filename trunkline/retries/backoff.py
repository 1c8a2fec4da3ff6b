"""How long a failed event waits for its next attempt.

As settings write it, in seconds::

    fixed:5               5 s before every retry
    exponential:1,2,60    1, 2, 4, 8 … s, at most 60, each with jitter
    list:1,10,60          1, 10, then 60 s before every further one
"""

from __future__ import annotations

import math
import random
from dataclasses import dataclass

from trunkline.errors import ConfigurationError

#: No delay is longer; one that is was probably meant in milliseconds.
LONGEST_DELAY_S = 30 * 86_400.0

_SYNTAX = (
    "write 'fixed:5', 'exponential:1,2,60' (first delay, factor, longest delay) or "
    "'list:1,10,60', in seconds"
)


@dataclass(frozen=True, slots=True)
class FixedBackoff:
    """The same delay before every retry, without jitter; 0 is at once."""

    seconds: float

    def __post_init__(self) -> None:
        _check_delay(self.seconds)

    def delay_s(self, attempts: int, rng: random.Random) -> float:
        """Return the delay after so many failed attempts, in seconds."""
        return self.seconds

    def __str__(self) -> str:
        return f"fixed:{self.seconds:g}"


@dataclass(frozen=True, slots=True)
class ExponentialBackoff:
    """Delays that grow by a factor up to a limit, with equal jitter.

    Equal jitter (M. Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015): half
    of the delay is kept, the other half is random. Events that failed together do not come back
    together, and none comes back almost at once, as it could with full jitter: what failed gets
    time to recover before the few attempts are used up.

    Attributes:
        first_s: Delay before the first retry, without jitter.
        factor: By how much every further one is longer.
        longest_s: No delay is longer.

    """

    first_s: float = 1.0
    factor: float = 2.0
    longest_s: float = 60.0

    def __post_init__(self) -> None:
        _check_delay(self.first_s)
        _check_delay(self.longest_s)
        if self.first_s == 0:
            raise ConfigurationError("an exponential back-off begins above 0 s; use 'fixed:0'")
        if not 1 <= self.factor <= 1000:
            raise ConfigurationError(f"the factor is {self.factor:g}; it must be from 1 to 1000")
        if self.longest_s < self.first_s:
            raise ConfigurationError(
                f"the longest delay ({self.longest_s:g} s) is below the first ({self.first_s:g} s)"
            )

    def delay_s(self, attempts: int, rng: random.Random) -> float:
        """Return the delay after so many failed attempts (1 or more), in seconds."""
        whole = self.ceiling_s(attempts)
        return whole / 2 + rng.random() * whole / 2

    def ceiling_s(self, attempts: int) -> float:
        """Return the longest delay after so many failed attempts: jitter only shortens it."""
        try:
            return min(self.longest_s, self.first_s * self.factor ** max(attempts - 1, 0))
        except OverflowError:
            return self.longest_s

    def __str__(self) -> str:
        return f"exponential:{self.first_s:g},{self.factor:g},{self.longest_s:g}"


@dataclass(frozen=True, slots=True)
class ListBackoff:
    """A delay for each retry, without jitter; the last one repeats."""

    delays_s: tuple[float, ...]

    def __post_init__(self) -> None:
        if not self.delays_s:
            raise ConfigurationError("the list has no delays")
        for delay_s in self.delays_s:
            _check_delay(delay_s)

    def delay_s(self, attempts: int, rng: random.Random) -> float:
        """Return the delay after so many failed attempts (1 or more), in seconds."""
        return self.delays_s[min(max(attempts, 1), len(self.delays_s)) - 1]

    def __str__(self) -> str:
        return "list:" + ",".join(f"{delay_s:g}" for delay_s in self.delays_s)


Backoff = FixedBackoff | ExponentialBackoff | ListBackoff


def parse_backoff(text: str) -> Backoff:
    """Read a back-off as settings write it; see this module's text.

    Raises:
        ConfigurationError: It is none; the message says why, and how to write one.

    """
    kind, _, rest = text.strip().partition(":")
    try:
        return _build(kind.strip().lower(), [float(part) for part in rest.split(",")])
    except ValueError:
        raise ConfigurationError(_SYNTAX) from None
    except ConfigurationError as error:
        raise ConfigurationError(f"{error}: {_SYNTAX}") from None


def _build(kind: str, numbers: list[float]) -> Backoff:
    match kind, numbers:
        case "fixed", [seconds]:
            return FixedBackoff(seconds)
        case "exponential", [first_s, factor, longest_s]:
            return ExponentialBackoff(first_s, factor, longest_s)
        case "list", delays_s:
            return ListBackoff(tuple(delays_s))
    raise ValueError(kind)


def _check_delay(seconds: float) -> None:
    if math.isfinite(seconds) and 0 <= seconds <= LONGEST_DELAY_S:
        return
    raise ConfigurationError(
        f"a delay is {seconds:g} s; it must be from 0 to {LONGEST_DELAY_S:.0f} (30 days)"
    )
