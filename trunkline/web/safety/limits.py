"""How often a token may be guessed: per address, and at the sign-in by all together."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

from trunkline.web.safety.hosts import network_of

_MAX_ADDRESSES = 10_000
#: Who has shown the right token within this time is no guesser.
_KNOWN_S = 3600.0


@dataclass
class _Bucket:
    """So many tries, which come back one by one.

    Attributes:
        tries: How many are left.
        at: When that was so.

    """

    tries: float
    at: float


class SignInLimits:
    """Ten tries for an address, a hundred for all, of which as many come back in a minute.

    Args:
        clock: Seconds that only grow.
        per_address: Tries a minute from one address.
        in_all: Tries a minute from everywhere.

    """

    def __init__(
        self,
        clock: Callable[[], float] = time.monotonic,
        per_address: int = 10,
        in_all: int = 100,
    ) -> None:
        self._clock = clock
        self._per_address = per_address
        self._in_all = in_all
        self._everybody = _Bucket(in_all, clock())
        self._by_address: dict[str, _Bucket] = {}
        self._known: dict[str, float] = {}

    def wait_s(self, address: str) -> int:
        """Count a try; return 0, or in how many seconds it may be made (then it was none)."""
        now = self._clock()
        own = self._bucket_of(address, now)
        self._refill(self._everybody, self._in_all, now)
        waits = [
            (1 - bucket.tries) * 60 / rate
            for bucket, rate in ((own, self._per_address), (self._everybody, self._in_all))
            if bucket.tries < 1
        ]
        if waits:
            return math.ceil(max(waits))
        own.tries -= 1
        self._everybody.tries -= 1
        return 0

    def token_wait_s(self, address: str) -> int:
        """Return in how many seconds an address may send a token again; 0: now.

        Only who sent wrong ones waits: an address from which the right one came lately does not,
        so that nobody locks publishers out by guessing beside them.
        """
        now = self._clock()
        if now - self._known.get(address, -_KNOWN_S) < _KNOWN_S:
            return 0
        own = self._bucket_of(address, now)
        return 0 if own.tries >= 1 else math.ceil((1 - own.tries) * 60 / self._per_address)

    def token_was_right(self, address: str) -> None:
        """Note that the right token came from an address."""
        self._known[address] = self._clock()
        if len(self._known) > _MAX_ADDRESSES:
            del self._known[next(iter(self._known))]

    def token_was_wrong(self, address: str) -> None:
        """Count a wrong token as a try."""
        own = self._bucket_of(address, self._clock())
        own.tries = max(0.0, own.tries - 1)

    def _bucket_of(self, address: str, now: float) -> _Bucket:
        key = network_of(address)
        # Taken out and put in again: those that were not seen for longest stand first.
        own = self._by_address.pop(key, None) or _Bucket(self._per_address, now)
        self._by_address[key] = own
        if len(self._by_address) > _MAX_ADDRESSES:
            del self._by_address[next(iter(self._by_address))]
        self._refill(own, self._per_address, now)
        return own

    @staticmethod
    def _refill(bucket: _Bucket, rate: int, now: float) -> None:
        bucket.tries = min(rate, bucket.tries + (now - bucket.at) * rate / 60)
        bucket.at = now
