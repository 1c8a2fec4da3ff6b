"""How many failures of a topic are too many: limits of the breaker and of the flood guard."""

from __future__ import annotations

from dataclasses import dataclass

from trunkline.settings import Settings


@dataclass(frozen=True)
class BreakerLimits:
    """When a breaker opens by itself, and how long it waits before it tries.

    Attributes:
        share: Share of attempts that may fail for a transient reason; 0 looks at none, so that only
            a :class:`~trunkline.errors.DependencyDown` opens it.
        min_attempts: With fewer attempts in the window no share is judged.
        window_s: Width of the sliding window.
        first_pause_s: Before the first probe; it doubles with each one that fails.
        longest_pause_s: Longest one.

    """

    share: float = 0.9
    min_attempts: int = 100
    window_s: float = 10.0
    first_pause_s: float = 1.0
    longest_pause_s: float = 30.0

    @classmethod
    def of(cls, settings: Settings) -> BreakerLimits:
        """Take them from the settings."""
        return cls(
            settings.breaker_share,
            settings.breaker_min_attempts,
            settings.breaker_window_s,
            settings.breaker_first_pause_s,
            settings.breaker_longest_pause_s,
        )


@dataclass(frozen=True)
class FloodLimits:
    """When a flood guard stops a topic's dead letters, and for how long.

    Attributes:
        share: Share of the events that may become dead letters; 0 lets all of them.
        min_events: With fewer events in the window no share is judged.
        window_s: Width of the sliding window.
        pause_s: How long it stops them before it lets a few through.

    """

    share: float = 0.5
    min_events: int = 1_000
    window_s: float = 60.0
    pause_s: float = 60.0

    @classmethod
    def of(cls, settings: Settings) -> FloodLimits:
        """Take them from the settings."""
        return cls(
            settings.flood_guard_share,
            settings.flood_guard_min_events,
            settings.flood_guard_window_s,
            settings.flood_guard_pause_s,
        )

    @property
    def few(self) -> int:
        """How many events of what comes after a pause are judged."""
        return max(1, self.min_events // 10)
