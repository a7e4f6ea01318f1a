"""How long a process may be silent before it counts as hung."""

from dataclasses import dataclass
from math import inf

from raypipe.run.ledger import TICK_S, Activity

MISSED_TICKS = 3


@dataclass(frozen=True)
class Patience:
    """How long what may be silent."""

    batch_s: float = 60.0
    """A worker between batches: this, or `times` the slowest batch of the stage; a process that is stopped: this."""
    times: float = 5.0
    """Multiple of the slowest batch."""
    setup_s: float = 900.0
    """For loading and warming up (download, load, compile), for the very first batch, and for reading a shard."""
    nothing_s: float = 1800.0
    """With no process at work at all while shards are left: no worker can start, or the cluster is broken."""

    def batch_limit_s(self, slowest_s: float) -> float:
        """How long a batch may take once the slowest so far took so long; nobody knows before the first is done."""
        return max(self.batch_s, self.times * slowest_s) if slowest_s else max(self.batch_s, self.setup_s)

    def is_over(self, activity: Activity, silent_s: float, still_s: float, *, slowest_s: float) -> bool:
        """Whether a process counts as hung: `silent_s` without a report, `still_s` without any sign of life."""
        if activity.phase != "setup" and still_s > max(self.batch_s, MISSED_TICKS * TICK_S):
            return True
        limits = {
            "setup": self.setup_s,
            "reading": self.setup_s,
            "working": self.batch_limit_s(slowest_s),
        }
        return silent_s > limits.get(activity.phase, inf)  # idle, waiting: for as long as others need
