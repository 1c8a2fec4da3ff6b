"""Is the memory of processes flat? Judged by the slope of what they hold after a warm-up."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import combinations

import psutil

#: Flat: by the slope, what is held grows by less than the larger of these while it is looked at.
GROWTH_SHARE = 0.10
GROWTH_MB = 12.0
#: The first part of a run, in which caches fill and every code path is met; at most so long.
WARM_UP_SHARE = 1 / 3
WARM_UP_S = 600.0
#: More samples than this say nothing more, and every pair of them is looked at.
_MOST = 300
_MB = 1024 * 1024


@dataclass(frozen=True)
class Growth:
    """How the memory of one process went.

    Attributes:
        pod: Whose.
        from_mb: Median of the first tenth after the warm-up.
        to_mb: Median of the last tenth.
        mb_per_h: Slope: the median of the slopes between all pairs of samples (Theil-Sen), which
            a few peaks do not move.
        grown_mb: That slope over the time that was looked at.

    """

    pod: str
    from_mb: float
    to_mb: float
    mb_per_h: float
    grown_mb: float

    @property
    def flat(self) -> bool:
        """Whether it is within the bound."""
        return self.grown_mb < max(GROWTH_MB, GROWTH_SHARE * self.from_mb)


@dataclass
class Memory:
    """Samples of processes, by pod; those of a process that was replaced are forgotten."""

    _pids: dict[str, int] = field(default_factory=dict)
    _samples: dict[str, list[tuple[float, float]]] = field(default_factory=dict)

    def sample(self, pod: str, pid: int, at_s: float) -> None:
        """Note what a process holds now; nothing when it is gone."""
        try:
            held_mb = psutil.Process(pid).memory_info().rss / _MB
        except psutil.Error:
            return
        if self._pids.get(pod) != pid:
            self._pids[pod], self._samples[pod] = pid, []
        self._samples[pod].append((at_s, held_mb))

    def now_mb(self) -> dict[str, float]:
        """Return what each pod held last."""
        return {pod: round(found[-1][1], 1) for pod, found in self._samples.items() if found}

    def growth(self, pods: Sequence[str], run_s: float) -> list[Growth]:
        """Return how the memory of pods went that lived through the whole run."""
        warm_s = min(WARM_UP_SHARE * run_s, WARM_UP_S)
        found = []
        for pod in pods:
            samples = [one for one in self._samples.get(pod, []) if one[0] >= warm_s]
            if len(samples) > 1:
                found.append(growth_of(pod, samples))
        return found


def growth_of(pod: str, samples: Sequence[tuple[float, float]]) -> Growth:
    """Judge samples of seconds and megabytes, in the order of time."""
    held = [mb for _, mb in samples]
    tenth = max(1, len(held) // 10)
    thinned = samples[:: -(-len(samples) // _MOST)]
    slopes = [(b - a) / (t - s) for (s, a), (t, b) in combinations(thinned, 2) if t > s]
    slope = statistics.median(slopes) if slopes else 0.0
    return Growth(
        pod,
        round(statistics.median(held[:tenth]), 1),
        round(statistics.median(held[-tenth:]), 1),
        round(slope * 3600, 2),
        round(slope * (samples[-1][0] - samples[0][0]), 2),
    )
