"""An annotate stage: every shard of a corpus through an Op, once, with commit, resume and accounting.

A committed output file is the only state: `resume` compares the listing of the inputs with that of the outputs.
"""

import json
import logging
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from raypipe.contracts.op import Op, Pool
from raypipe.corpus import Corpus, Plan, Shard
from raypipe.corpus.stages import Files, Joined
from raypipe.run.cluster import Wanted, check_seen_by_all
from raypipe.run.commit import SUFFIX, Totals, recount
from raypipe.run.event_loop import Shift, StageFailed, check_failed_rows, nothing_scored
from raypipe.run.inputs import Inputs, Sizes, planned, resolve
from raypipe.run.noter import Noter
from raypipe.run.patience import Patience
from raypipe.run.progress import Reporter, StageRates
from raypipe.run.resume import StageState, compare
from raypipe.runs import card as cards
from raypipe.runs.card import Json
from raypipe.runs.names import checked_stage
from raypipe.runs.signals import Stopped
from raypipe.runs.stage import INCOMPLETE, at_work
from raypipe.storage.folder import Folder

log = logging.getLogger(__name__)
GRACE_S = 60.0


@dataclass
class Annotate:
    """Runs an Op over a corpus into RUN/STAGE."""

    run: Folder
    stage: str
    op: Op
    corpus: Corpus
    wanted: Wanted
    sizes: Sizes
    identity: Json
    """Whatever can change a byte of the files, flat."""
    patience: Patience = field(default_factory=Patience)
    stopping: threading.Event = field(default_factory=threading.Event)
    """Set it to end in an orderly way."""
    retry_failed: bool = False
    """Take up again the shards that were set aside."""
    is_owner: Callable[[], bool] = lambda: True
    """Whether the run folder is still ours to write to."""
    grace_s: float = GRACE_S
    """What shards in flight get after a request to stop."""
    measured: Json = field(default_factory=dict)
    """What was found out before the first start and goes into a new card."""
    stages: tuple[str, ...] = ()
    """Finished stages of the run whose columns the Op reads, as `stage.column`."""
    redo: bool = False
    """Whether a change of identity redoes the stage without asking: for one that runs no model."""

    def __post_init__(self) -> None:
        """Find the stage's folder.

        Raises
        ------
        ValueError
            If its name isn't that of one folder right inside the run's.
        """
        self.folder = self.run / checked_stage(self.stage)
        self.inputs, self.files = Inputs(), dict[str, Files]()

    def __call__(self) -> Json:
        """Do what is left and return the card.

        Raises
        ------
        IdentityChanged
            If the files that are there were made with other settings.
        KeyError, FileNotFoundError, ValueError
            If what the Op reads isn't there, or a stage that it reads was made of other rows.
        Stopped
            If `stopping` was set; what was in flight is committed.
        StageFailed
            If a shard can't be finished by trying again with these settings, too many documents make the Op fail, or
            none came through.
        """
        self._sweep()
        self.inputs = resolve(self.run, self.op.reads, stages=self.stages)
        self.identity = {**self.identity, **self.inputs.identity}
        card = self._card()
        plan, state = self.plan()
        if self._is_untouched(card, plan, state):
            return card or {}
        with at_work(self.folder, card or self._new_card(), put=self._write) as card:
            for name in state.stale:
                self.folder.delete(name)
            if self.retry_failed:
                card["set_aside"] = {}
            pending = [shard for shard in state.pending if shard.key not in card["set_aside"]]
            log.info("%s: %d of %d shards to do", self.stage, len(pending), len(plan))
            if pending:
                self._work(pending, state, card)
            self._finish(plan, card)
        return card

    def _card(self) -> Json | None:
        """The stage's card, None if it has none or is to be made anew."""
        card = cards.read_card(self.folder)
        if not (self.redo and card and self._is_other(card)):
            cards.check_identity(self.stage, card, self.identity)
            return card
        log.info("%s: made by other settings, and done again", self.stage)
        for name in self._names():
            self.folder.delete(name)
        return None

    def _is_other(self, card: Json) -> bool:
        now = json.loads(json.dumps(self.identity))
        return card.get("format") != cards.FORMAT or bool(cards.differences(card["identity"], now))

    def plan(self) -> tuple[Plan, StageState]:
        """The shards of the corpus and what is left of them; no output file is opened."""
        plan, self.files = planned(self.corpus, self.sizes, self.inputs, self.folder)
        return plan, compare(plan.shards, self._names())

    def _names(self) -> list[str]:
        return [entry.path for entry in self.folder.files() if entry.path.endswith(SUFFIX)]

    def _is_untouched(self, card: Json | None, plan: Plan, state: StageState) -> bool:
        """Whether the card was written over these very inputs and files: then no footer needs to be read again."""
        if card is None or card["status"] != "finished" or state.pending or state.stale:
            return False
        return bool(card["counts"]["shards"] == len(state.finished) and card["inputs"] == _inputs(plan))

    def _new_card(self) -> Json:
        return {
            "stage": self.stage,
            "kind": "annotate",
            "op": type(self.op).__name__,
            "unit": self.op.unit,
            "identity": self.identity,
            "running": {},
            "inputs": {},
            "counts": {},
            "times": {"started": cards.now(), "wall_s": 0.0, "start_up_s": 0.0, "busy_s": 0.0, "waited_s": 0.0},
            "set_aside": {},
            "warnings": [],
            **self.measured,
        }

    def _work(self, pending: list[Shard], state: StageState, card: Json) -> None:
        """Take the pending shards through the pool, those that killed their worker too often alone."""
        from raypipe.run.ledger import end_ledger, start_ledger  # not before there is work: these import Ray
        from raypipe.run.pipeline import outcomes
        from raypipe.run.watchdog import Watchdog

        pool, meter, ledger = self.wanted.pool, StageRates(self.stage, len(pending), self.op.unit), start_ledger()
        if placing := self.wanted.placing():
            log.warning("%s: %s", self.stage, placing)
        check_seen_by_all(self.run, pending)
        stream = outcomes(
            self.op, self._reader(), pending, folder=self.folder, pool=pool,
            ledger=ledger, done=state.parts_done, files=self.files, identity=cards.identity_hash(card["identity"]),
        )  # fmt: skip
        with Watchdog(ledger, self.patience, self.stopping.set) as dog, Reporter(self.run, meter) as reporter:
            note = Noter(self._write, card, meter, dog, pool)
            shift = Shift(
                self.stage, self.op.limits(), ledger, dog, meter, reporter,
                self.stopping, self.grace_s, self.is_owner, note, card["set_aside"],
            )  # fmt: skip
            try:
                shift.follow(stream)
                for shard in (shard for shard in pending if shard.key in shift.poisoned):
                    if not self.stopping.is_set():
                        shift.follow(self._rescue(shard, state, pool, card, slowest_s=dog.slowest_s))
            finally:
                ledger.stop.remote()  # nothing new starts while we leave
                note()
        if self.stopping.is_set():
            so_far = f"{meter.totals.shards} of {len(pending)} shards"
            raise Stopped(f"{self.stage}: stopped with {so_far} done; go on with the same command.")
        end_ledger(ledger)  # all readers and workers are through

    def _rescue(self, shard: Shard, state: StageState, pool: Pool, card: Json, *, slowest_s: float) -> Iterator[Json]:
        from raypipe.run.isolation import rescue

        return rescue(
            self.op, self._reader(), shard, files=self.files.get(shard.key, {}), folder=self.folder, pool=pool,
            done=frozenset(state.parts_done.get(shard.key, [])), patience=self.patience,
            slowest_s=slowest_s, identity=cards.identity_hash(card["identity"]),
        )  # fmt: skip

    def _reader(self) -> Joined:
        return self.inputs.joined(self.corpus, part_rows=self.sizes.part_rows)

    def _finish(self, plan: Plan, card: Json) -> None:
        self._sweep()
        names, own = self._names(), cards.identity_hash(card["identity"])
        state, totals = compare(plan.shards, names), recount(self.folder, names, identity=own)
        check_rows(plan, state, totals)
        left = {shard.key for shard in state.pending}
        broken = sum(n for reason, n in totals.skipped.items() if reason.startswith(("stream broken", "array broken")))
        card["set_aside"] = {key: why for key, why in card["set_aside"].items() if key in left}
        card["counts"] = totals.as_json()
        card["inputs"] = _inputs(plan)
        card["warnings"] = (
            [f"{broken} compressed streams or arrays are broken; their rows after the break are lost."]
            if broken
            else []
        )
        check_failed_rows(self.stage, totals)
        if state.pending:
            card["status"] = INCOMPLETE
        elif not totals.scored:
            raise StageFailed(nothing_scored(self.stage, totals))

    def _write(self, card: Json) -> None:
        """Put the card, unless the run folder has become another driver's.

        Raises
        ------
        StageFailed
            If the storage doesn't take it.
        """
        if not self.is_owner():
            return
        try:
            cards.write_card(self.folder, card)
        except OSError as error:
            raise StageFailed(f"{self.stage}: can't write its card: {error}. The same command goes on.") from error

    def _sweep(self) -> None:
        """Remove what killed writers left half-written."""
        for folder in (self.run, self.run / "progress", self.folder):
            folder.sweep()


def _inputs(plan: Plan) -> Json:
    return {"files": plan.n_files, "bytes": plan.n_bytes, "ignored": plan.ignored}


def is_complete(card: Json) -> bool:
    """Whether every shard is done and no input was broken: what a zero exit status means."""
    return card["status"] == "finished" and not card["set_aside"] and not card["warnings"]


def check_rows(plan: Plan, state: StageState, totals: Totals) -> None:
    """Rows in, by the inputs' own footers, are the rows out.

    Raises
    ------
    StageFailed
        If they differ.
    """
    if state.pending or any(shard.n_rows is None for shard in plan.shards):
        return  # rows of lines and streams are counted by the reader, into each file
    rows = sum(min(shard.n_rows or 0, shard.max_rows or shard.n_rows or 0) for shard in plan.shards)
    if rows != totals.rows:
        raise StageFailed(f"rows out must equal the {rows} rows of the inputs, got {totals.rows}.")
