"""How long a partition stood still, from what was handled when."""

from __future__ import annotations

import pytest

from trunkline.bench.failover import longest_pause_s

HANDLED = [(0, 0, 9.0), (0, 1, 10.1), (1, 0, 10.5), (0, 2, 13.1), (0, 3, 13.2), (0, 4, 30.0)]


@pytest.mark.parametrize(
    ("partition", "expected"),
    [(0, 3.0), (1, 3.5), (2, 4.0)],
    ids=["between two events", "since the last event", "never handled"],
)
def test_the_longest_time_in_which_nothing_was_handled(partition, expected):
    """What came before and after the time that is looked at does not count."""
    assert longest_pause_s(HANDLED, partition, (10.0, 14.0)) == pytest.approx(expected)
