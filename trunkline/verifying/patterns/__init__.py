"""The patterns of the seed, in its order."""

from trunkline.verifying.outcome import Pattern
from trunkline.verifying.patterns.commits import COMMIT_AFTER_PROCESSING
from trunkline.verifying.patterns.dead_letters import BAD_EVENTS, REDRIVEN
from trunkline.verifying.patterns.flapping import FLAPPING
from trunkline.verifying.patterns.growth import GROWTH
from trunkline.verifying.patterns.notifications import DIRECT, FANOUT
from trunkline.verifying.patterns.outage import OUTAGE
from trunkline.verifying.patterns.parallel import PARALLEL
from trunkline.verifying.patterns.publishers import FAN_IN, SEVERAL_PUBLISHERS
from trunkline.verifying.patterns.retries import KILLED, RETRIED
from trunkline.verifying.patterns.sharing import SHARING
from trunkline.verifying.patterns.takeover import REBALANCE_IN, TAKEOVER

PATTERNS: tuple[Pattern, ...] = (
    SHARING,
    PARALLEL,
    FANOUT,
    DIRECT,
    SEVERAL_PUBLISHERS,
    FAN_IN,
    TAKEOVER,
    REBALANCE_IN,
    COMMIT_AFTER_PROCESSING,
    FLAPPING,
    GROWTH,
    RETRIED,
    KILLED,
    OUTAGE,
    BAD_EVENTS,
    REDRIVEN,
)

__all__ = ["PATTERNS", "Pattern"]
