"""How far a stage is: files that others can read, and what its display shows."""

import json
import logging
import time
from dataclasses import dataclass, field

from raypipe.contracts.op import TOKENS
from raypipe.run.commit import Totals
from raypipe.run.display import Display, Seen
from raypipe.run.metrics import show
from raypipe.runs.card import now
from raypipe.storage.folder import Folder

log = logging.getLogger(__name__)
NOW_EVERY_S = 5.0
SEGMENT_S = 60.0


@dataclass
class StageRates:
    """Rates of a stage, and what is left."""

    stage: str
    n_shards: int
    unit: str = TOKENS
    """Of the stage's cost."""
    totals: Totals = field(default_factory=Totals)
    busy_s: float = 0.0
    waited_s: float = 0.0
    workers: int = 0
    set_aside: int = 0
    """Shards that can't be finished by trying again."""
    started: float = field(default_factory=time.monotonic)
    begun_at: float | None = None
    """When the first shard was taken up: all before it is start-up."""
    first_at: float | None = None
    last_at: float | None = None
    _worked: list[tuple[float, float]] = field(default_factory=list)
    """Spans in which some worker was at work, in order, none touching another."""

    def add(self, detail: dict) -> None:
        """One shard was committed: the detail of its outcome."""
        self.totals.add(detail["counts"])
        self.busy_s += detail["busy_s"]
        if self.first_at is None:
            self.first_at = detail["at"]
        else:
            self.waited_s += detail["waited_s"]  # the first wait of all is start-up
        begun = detail["at"] - detail["busy_s"] - detail["commit_s"]
        self.begun_at = min(self.begun_at or begun, begun)
        self.last_at = max(self.last_at or 0.0, detail["at"])
        self._worked = united([*self._worked, (begun, detail["at"])])

    @property
    def cost_per_s(self) -> float:
        """Cost a second of the time in which workers worked: while all still load, or load again, none can."""
        spent = sum(end - begun for begun, end in self._worked)
        return self.totals.cost / spent if spent > 0 else 0.0

    def speed(self) -> dict[str, float]:
        """The rate for files, under the name of its unit: `tokens_per_s`, `rows_per_s`."""
        return {f"{self.unit}_per_s": round(self.cost_per_s, 1)}

    @property
    def eta_s(self) -> float | None:
        """Seconds to go if shards go on coming as fast; None before two are done."""
        done = self.totals.shards
        if done < 2 or self.first_at is None or self.last_at is None:
            return None
        return (self.n_shards - done) * (self.last_at - self.first_at) / (done - 1)

    def seen(self) -> Seen:
        """What a display shows."""
        if not self.totals.shards:
            return Seen(0, f"{self.workers or 'no'} workers, none through its first shard yet")
        return Seen(
            self.totals.shards,
            f"{self.totals.rows:,} documents, {self.cost_per_s:,.0f} {self.unit}/s{self._padding}",
            self.eta_s,
        )

    @property
    def _padding(self) -> str:
        return f", {self.totals.padding_fraction:.1%} padding" if self.unit == TOKENS else ""

    def as_json(self) -> dict:
        """The line of a progress file."""
        return {
            "stage": self.stage, "time": now(), "shards_done": self.totals.shards, "shards": self.n_shards,
            "rows": self.totals.rows, "tokens": self.totals.tokens,
            "cost": self.totals.cost, "unit": self.unit, **self.speed(),
            "padding_fraction": round(self.totals.padding_fraction, 5), "eta_s": self.eta_s and round(self.eta_s, 1),
            "workers": self.workers,
        }  # fmt: skip

    def figures(self) -> dict[str, float | None]:
        """For metrics.SERIES."""
        totals, tokens = self.totals, self.unit == TOKENS
        return {
            "documents": totals.rows, "documents_failed": totals.failed.total(),
            "tokens": totals.tokens if tokens else None, "cost_per_s": self.cost_per_s,
            "padding_fraction": totals.padding_fraction if tokens else None, "shards_done": totals.shards,
            "shards_waiting": self.n_shards - totals.shards - self.set_aside, "shards_set_aside": self.set_aside,
            "workers": self.workers,
        }  # fmt: skip


def united(spans: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """The spans (begin, end) with those that overlap made one, in order."""
    whole: list[tuple[float, float]] = []
    for begun, ended in sorted(spans):
        if whole and begun <= whole[-1][1]:
            whole[-1] = (whole[-1][0], max(whole[-1][1], ended))
        else:
            whole.append((begun, ended))
    return whole


class Reporter:
    """Writes progress files, and shows on standard error how far the stage is."""

    def __init__(self, run: Folder, meter: StageRates) -> None:
        self.run, self.folder, self.meter = run, run / "progress", meter
        self._segment: list[dict] = []
        self._segment_started = self._written = 0.0
        self._display = Display(meter.stage, meter.n_shards, unit="shards", look=meter.seen)

    def __enter__(self) -> "Reporter":
        self._display.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self._display.__exit__(None, None, None)
        self._write(force=True)

    def update(self) -> None:
        """Write down how far the meter is, now and then; cheap enough to call at every shard."""
        self._write()

    def _write(self, *, force: bool = False) -> None:
        seconds = time.monotonic()
        if not force and seconds - self._written < NOW_EVERY_S:
            return
        self._written = seconds
        line = self.meter.as_json()
        show(self.meter.figures(), run=self.run.uri, stage=self.meter.stage)
        self._segment_started = self._segment_started or seconds
        self._segment.append(line)
        try:
            self.folder.write("now.json", json.dumps(line).encode())
            if force or seconds - self._segment_started > SEGMENT_S:
                self._close_segment()
        except OSError as error:  # progress is worth no job; what can't be put now goes with the next segment
            log.warning("can't write progress: %s", error)

    def _close_segment(self) -> None:
        """An object store can't append: a closed minute is a file of its own."""
        start = self._segment[0]["time"].replace(":", "").replace("+0000", "Z")
        name = f"{start}-{len(self.folder.files()):04d}.jsonl"
        self.folder.write(name, "".join(json.dumps(line) + "\n" for line in self._segment).encode())
        self._segment, self._segment_started = [], 0.0
