"""What a stage has cost so far, in its card while it runs."""

import logging
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from raypipe.contracts.op import Pool
from raypipe.run.event_loop import StageFailed
from raypipe.run.progress import StageRates
from raypipe.runs.card import Json

if TYPE_CHECKING:
    from raypipe.run.watchdog import Watchdog

log = logging.getLogger(__name__)


@dataclass
class Noter:
    """Adds what the stage has cost since the last note to its card, so that a kill forgets half a minute at most."""

    write: Callable[[Json], None]
    card: Json
    meter: StageRates
    dog: "Watchdog"
    pool: Pool

    def __post_init__(self) -> None:
        self._before = dict(self.card["times"])
        self._started = time.time()

    def __call__(self) -> None:
        """Write the card with the costs so far; a storage that fails is left to those who can't do without it."""
        times, before, meter = self.card["times"], self._before, self.meter
        times["wall_s"] = before["wall_s"] + time.time() - self._started
        times["busy_s"] = before["busy_s"] + meter.busy_s
        times["waited_s"] = before["waited_s"] + meter.waited_s
        if meter.begun_at is not None:
            times["start_up_s"] = max(0.0, meter.begun_at - self._started)
            times |= meter.speed()
        self.card["running"] = {**asdict(self.pool), "watchdog_kills": self.dog.killed}
        try:
            self.write(self.card)
        except StageFailed as error:
            log.warning("%s", error)
