"""An annotate stage: every shard of a corpus through an Op, once, with commit, resume and accounting.

A committed output file is the only state. Planning lists the inputs and the outputs and compares names: a name holds
the path, the fingerprint and the cut of its shard, so a rewritten input is another shard and its old file is stale.
"""

import json
import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import ray

from raypipe.corpus import Corpus, Plan, Shard, load, plan_shards, save
from raypipe.run import card as cards
from raypipe.run import worker as became
from raypipe.run.cluster import Wanted, check_seen_by_all
from raypipe.run.commit import LAST, SUFFIX, Totals, file_name, recount
from raypipe.run.ledger import start_ledger
from raypipe.run.op import Op
from raypipe.run.pipeline import outcomes
from raypipe.run.progress import Meter, Reporter
from raypipe.run.solitary import rescue
from raypipe.run.watchdog import Patience, Watchdog
from raypipe.storage import Folder

log = logging.getLogger(__name__)
INPUTS = "inputs.arrow"
MAX_HALVED_SHARDS = 3
GRACE_S = 60.0


class Stopped(RuntimeError):
    """The job was asked to stop; what was in flight is committed and the same command goes on."""


class StageFailed(RuntimeError):
    """The stage can't go on, for a reason that another try would meet again."""


@dataclass(frozen=True)
class Sizes:
    """How a corpus is cut; fixed in the card at the first start."""

    shard_bytes: int
    """Of text or JSON lines."""
    part_rows: int
    """Rows of a part of a compressed stream."""


@dataclass
class State:
    """What a listing of the outputs says about a plan."""

    pending: list[Shard]
    finished: set[str]
    """Names of committed files that belong to the plan."""
    stale: list[str]
    """Names that don't: their inputs were rewritten or are gone."""
    parts_done: dict[str, list[int]] = field(default_factory=dict)
    """Key of each unfinished stream -> starts of its committed parts."""


def compare(shards: Sequence[Shard], names: Sequence[str]) -> State:
    """Which shards are left, from the names of the output files alone."""
    there = set(names)
    streams: dict[str, list[str]] = {}
    for name in names:
        streams.setdefault(name[: name.rindex("-")], []).append(name)
    state = State([], set(), [])
    for shard in shards:
        if shard.cut == "part":
            _compare_stream(shard, streams.get(shard.key[: shard.key.rindex("-")], []), state)
        elif (name := file_name(shard, is_last=True)) in there:
            state.finished.add(name)
        else:
            state.pending.append(shard)
    state.stale = sorted(there - state.finished)
    return state


def _compare_stream(shard: Shard, names: list[str], state: State) -> None:
    starts = sorted(_start(name) for name in names)
    last = [_start(name) for name in names if name.endswith(LAST)]
    is_whole = bool(last) and len(starts) == last[0] // shard.size + 1
    state.finished.update(names)
    if not is_whole:
        state.pending.append(shard)
        state.parts_done[shard.key] = starts


def _start(name: str) -> int:
    return int(name[name.rindex("-") + 1 :].split(".")[0])


@dataclass
class Annotate:
    """Runs an Op over a corpus into RUN/STAGE."""

    run: Folder
    stage: str
    op: Op
    corpus: Corpus
    wanted: Wanted
    sizes: Sizes
    identity: dict[str, Any]
    """Whatever can change a byte of the files, flat."""
    patience: Patience = field(default_factory=Patience)
    stopping: threading.Event = field(default_factory=threading.Event)
    """Set it to end in an orderly way."""
    retry_failed: bool = False
    is_owner: Callable[[], bool] = lambda: True

    def __post_init__(self) -> None:
        self.folder = self.run / self.stage

    def __call__(self) -> dict[str, Any]:
        """Do what is left and return the card.

        Raises
        ------
        IdentityChanged
            If the files that are there were made with other settings.
        Stopped
            If `stopping` was set; what was in flight is committed.
        StageFailed
            If a shard can't be finished by trying again with these settings.
        """
        self.folder.sweep()
        card = cards.read_card(self.folder)
        cards.check_identity(self.stage, card, self.identity)
        plan, state = self.plan()
        if card is None:
            card = self._new_card()
            cards.write_card(self.folder, card)
        for name in state.stale:
            self.folder.delete(name)
        if self.retry_failed:
            card["set_aside"] = {}
        pending = [shard for shard in state.pending if shard.key not in card["set_aside"]]
        log.info("%s: %d of %d shards to do", self.stage, len(pending), len(plan))
        if pending:
            card["status"] = "running"
            self._work(pending, plan, state, card)
        return self._finish(plan, card)

    def plan(self) -> tuple[Plan, State]:
        """The shards of the corpus and what is left of them; no output file is opened."""
        known = load(self.folder, INPUTS)
        plan = plan_shards(self.corpus, shard_bytes=self.sizes.shard_bytes, part_rows=self.sizes.part_rows, known=known)
        save(plan.known, self.folder, INPUTS)
        names = [entry.path for entry in self.folder.files() if entry.path.endswith(SUFFIX)]
        return plan, compare(plan.shards, names)

    def _new_card(self) -> dict[str, Any]:
        return {
            "stage": self.stage,
            "kind": "annotate",
            "op": type(self.op).__name__,
            "status": "running",
            "identity": self.identity,
            "running": {},
            "versions": cards.versions(),
            "inputs": {},
            "counts": {},
            "times": {"started": cards.now(), "wall_s": 0.0, "start_up_s": 0.0, "busy_s": 0.0, "waited_s": 0.0},
            "set_aside": {},
            "warnings": [],
        }

    def _work(self, pending: list[Shard], plan: Plan, state: State, card: dict[str, Any]) -> None:
        started, pool, meter = time.time(), self.wanted.pool, Meter(self.stage, len(pending))
        check_seen_by_all(self.run)
        ledger = start_ledger()
        with Watchdog(ledger, self.patience) as dog, Reporter(self.run, meter) as reporter:
            stopper = threading.Thread(target=self._stop_when_asked, args=(ledger, dog), daemon=True)
            stopper.start()
            stream = outcomes(
                self.op, self.corpus, pending, folder=self.folder, pool=pool,
                part_rows=self.sizes.part_rows, ledger=ledger, done=state.parts_done,
            )  # fmt: skip
            try:
                poisoned = self._collect(stream, meter, reporter, dog, card)
                for shard in [] if self.stopping.is_set() else poisoned:
                    done = frozenset(state.parts_done.get(shard.key, []))
                    self._collect(
                        rescue(self.op, self.corpus, shard, folder=self.folder, pool=pool,
                               part_rows=self.sizes.part_rows, done=done, patience=self.patience),
                        meter, reporter, dog, card,
                    )  # fmt: skip
            finally:
                card["running"] = {**asdict(pool), "watchdog_kills": dog.killed}
                self._note_times(card, meter, started)
        if self.stopping.is_set():
            raise Stopped(
                f"{self.stage}: stopped with {meter.totals.shards} of {len(pending)} shards done; "
                "go on with the same command."
            )

    def _collect(
        self, stream: Iterator[dict[str, Any]], meter: Meter, reporter: Reporter, dog: Watchdog, card: dict[str, Any]
    ) -> list[Shard]:
        """Follow the outcomes; returns the shards that killed their worker too often."""
        poisoned: dict[str, Shard] = {}
        n_halved = 0
        for row in stream:
            detail, kind = json.loads(row["detail"]), row["outcome"]
            meter.workers = dog.n_workers
            if kind == became.DONE:
                meter.add(detail)
                n_halved += detail["counts"]["halved"] > 0
                if n_halved >= MAX_HALVED_SHARDS:
                    raise StageFailed(_too_large(self.op))
            elif kind == became.POISON:
                shard = Shard(**detail["shard"])
                poisoned[shard.key] = shard
            elif kind in (became.UNREADABLE, became.STORAGE):
                card["set_aside"][Shard(**detail["shard"]).key] = f"{kind}: {detail['why']}"
            elif kind in (became.FULL, became.BROKEN):
                raise StageFailed(f"{self.stage}: {kind}: {detail['why']}")
            if not self.is_owner():
                raise StageFailed(f"{self.run.uri} was taken over by another driver; this one stops.")
            reporter.update()
        return list(poisoned.values())

    def _stop_when_asked(self, ledger: Any, dog: Watchdog) -> None:
        self.stopping.wait()
        ray.get(ledger.stop.remote())
        log.warning("%s: stopping; shards in flight get %.0f s", self.stage, GRACE_S)

    def _note_times(self, card: dict[str, Any], meter: Meter, started: float) -> None:
        times = card["times"]
        times["wall_s"] += time.time() - started
        times["busy_s"] += meter.busy_s
        times["waited_s"] += meter.waited_s
        if meter.first_at is not None:
            times["start_up_s"] = max(0.0, meter.first_at - started)
            times["tokens_per_s"] = round(meter.tokens_per_s, 1)
            card["counts"]["padding"] = card["counts"].get("padding", 0) + meter.padding
        cards.write_card(self.folder, card)

    def _finish(self, plan: Plan, card: dict[str, Any]) -> dict[str, Any]:
        names = [entry.path for entry in self.folder.files() if entry.path.endswith(SUFFIX)]
        state = compare(plan.shards, names)
        totals = recount(self.folder, names)
        card["set_aside"] = {
            key: why for key, why in card["set_aside"].items() if key in {s.key for s in state.pending}
        }
        _check_rows(plan, state, totals)
        padding = card["counts"].get("padding", 0)
        card["counts"] = {
            **totals.as_json(), "padding": padding,
            "padding_fraction": padding / (padding + totals.tokens) if padding else 0.0,
        }  # fmt: skip
        card["inputs"] = {"files": plan.n_files, "bytes": plan.n_bytes, "ignored": plan.ignored}
        broken = sum(n for reason, n in totals.skipped.items() if reason.startswith("stream broken"))
        card["warnings"] = (
            [f"{broken} compressed streams are broken; their rows after the break are lost."] if broken else []
        )
        card["status"] = "incomplete" if state.pending else "finished"
        card["times"]["finished"] = cards.now()
        cards.write_card(self.folder, card)
        return card


def is_complete(card: dict[str, Any]) -> bool:
    """Whether every shard is done and no input was broken: what a zero exit status means."""
    return card["status"] == "finished" and not card["set_aside"] and not card["warnings"]


def _check_rows(plan: Plan, state: State, totals: Totals) -> None:
    """Rows in, by the inputs' own footers, are the rows out."""
    if state.pending or any(shard.n_rows is None for shard in plan.shards):
        return  # rows of lines and streams are counted by the reader, into each file
    rows = sum(shard.n_rows or 0 for shard in plan.shards)
    if rows != totals.rows:
        raise StageFailed(f"rows out must equal the {rows} rows of the inputs, got {totals.rows}.")


def _too_large(op: Op) -> str:
    budget = getattr(op, "token_budget", None)
    return (
        f"batches of {MAX_HALVED_SHARDS} shards didn't fit into memory; "
        f"start a run with --token-budget {budget // 2 if budget else 'lower'}."
    )
