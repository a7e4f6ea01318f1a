"""A stage that finds which rows of a run belong together: a file for each group of keys, by a task that reads all.

The groups bound the memory of a task, not what is found. A group's file is put in one step, and its name says what it
was made of: after a kill those that are there stay. `parts.parquet` says at which row of the run each part of the
corpus begins.
"""

import copy
import logging
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import ray

from raypipe.contracts.linker import Linker
from raypipe.corpus import Corpus, Shard
from raypipe.corpus.stages import Files, Joined, part_name
from raypipe.run import cluster
from raypipe.run.event_loop import StageFailed, root_cause
from raypipe.run.exits import end_in_time
from raypipe.run.gather import MAX_RETRIES, digest_of
from raypipe.run.inputs import Sizes, planned, resolve
from raypipe.runs import card as cards
from raypipe.runs.card import Json
from raypipe.runs.names import checked_stage
from raypipe.runs.signals import Stopped
from raypipe.runs.stage import at_work
from raypipe.storage.folder import Folder

log = logging.getLogger(__name__)
PARTS = "parts.arrow"
LOOK_EVERY_S = 1.0
Work = Sequence[tuple[Shard, Files]]


@dataclass
class LinkStage:
    """Takes the rows of a corpus and of finished stages past a Linker, into RUN/STAGE."""

    run: Folder
    stage: str
    linker: Linker
    """Of any group: its settings."""
    n_groups: int
    corpus: Corpus
    sizes: Sizes
    """As the stages that it reads were cut."""
    stages: tuple[str, ...] = ()
    identity: Json = field(default_factory=dict)
    """Whatever can change the result beside what it reads, flat."""
    stopping: threading.Event = field(default_factory=threading.Event)
    is_owner: Callable[[], bool] = lambda: True
    max_workers: int | None = None
    """Tasks at a time; None: as many as there are CPUs."""

    def __call__(self) -> Json:
        """Look through the groups that are left, and return the stage's card.

        Raises
        ------
        KeyError, FileNotFoundError, ValueError
            If what it reads isn't there, or a stage that it reads was made of other rows.
        StageFailed
            If a file can't be read, two don't hold the same rows, or a group doesn't fit.
        Stopped
            If `stopping` was set.
        """
        folder = self.run / checked_stage(self.stage)
        inputs = resolve(self.run, self.linker.reads, stages=self.stages)
        plan, files = planned(self.corpus, self.sizes, inputs, folder)
        work = [(shard, files.get(shard.key, {})) for shard in plan]
        reader = inputs.joined(self.corpus, part_rows=self.sizes.part_rows)
        about = {"linker": repr(self.linker), "version": self.linker.version, "n_groups": self.n_groups}
        identity = {**self.identity, **inputs.identity, **about}
        made_of = {"files": plan.n_files, "shards": len(work), "digest": digest_of(work)}
        key = cards.identity_hash({**identity, **made_of})
        names = [f"{key}-{group:06d}.parquet" for group in range(self.n_groups)]
        there = {entry.path for entry in folder.files()}
        card = cards.read_card(folder)
        if card and card["status"] == "finished" and card.get("key") == key and there >= {*names, PARTS}:
            return card
        for name in there - {*names, cards.CARD}:
            if name.endswith(".parquet"):
                folder.delete(name)
        left = [group for group, name in enumerate(names) if name not in there]
        with at_work(folder, self._new_card(identity, made_of, key)) as card:
            log.info("%s: %d of %d groups to do", self.stage, len(left), self.n_groups)
            self._work(reader, work, folder, names, left)
            card["counts"] = {"shards": len(work), "links": sum(_n_rows(folder, name) for name in names)}
        return card

    def _work(self, reader: Joined, work: Work, folder: Folder, names: Sequence[str], left: list[int]) -> None:
        """Every group that is left by a task, so many at a time."""
        cluster.connect()
        cluster.check_seen_by_all(self.run, [shard for shard, _ in work])
        n_at_once = max(1, self.max_workers or int(ray.cluster_resources().get("CPU", 1)))
        shared, waiting, running = ray.put(list(work)), list(left), list[Any]()
        while waiting or running:
            while waiting and len(running) < n_at_once:
                group = waiting.pop(0)
                linker = replace(self.linker, group=group, n_groups=self.n_groups)  # type: ignore[type-var]
                running.append(_look_through.remote(linker, reader, shared, folder, names[group]))
            done, running = ray.wait(running, timeout=LOOK_EVERY_S)
            self._check(running)
            try:
                ray.get(done)
            except ray.exceptions.RayError as error:
                raise StageFailed(f"{self.stage}: {root_cause(error)}") from error

    def _check(self, running: list[Any]) -> None:
        if self.stopping.is_set() or not self.is_owner():
            for one in running:
                ray.cancel(one)
        if self.stopping.is_set():
            raise Stopped(f"{self.stage}: stopped; the same command goes on with the groups that are left.")
        if not self.is_owner():
            raise StageFailed(f"{self.stage}: another driver has taken over this run folder; this one stops.")

    def _new_card(self, identity: Json, made_of: Json, key: str) -> Json:
        return {
            "stage": self.stage,
            "kind": "links",
            "op": type(self.linker).__name__,
            "identity": identity,
            "inputs": made_of,
            "key": key,
            "running": {},
            "set_aside": {},
            "warnings": [],
        }


@ray.remote(num_cpus=1, max_retries=MAX_RETRIES)
def _look_through(linker: Linker, reader: Joined, work: Work, folder: Folder, name: str) -> None:
    end_in_time()
    look_through(linker, reader, work, folder, name)


def look_through(linker: Linker, reader: Joined, work: Work, folder: Folder, name: str) -> None:
    """All rows past one group's linker, and its file; the first group also says where each part begins."""
    found, first_row, parts = copy.deepcopy(linker), 0, list[tuple[str, int]]()
    for shard, files in work:
        for part, _, table in reader.parts(shard, files):
            found.update(table, first_row)
            parts.append((part_name(part), first_row))
            first_row += len(table)
    if linker.group == 0:
        folder.write(PARTS, parts_table(parts, first_row))
    sink = pa.BufferOutputStream()
    pq.write_table(found.result(), sink, compression="zstd")
    folder.write(name, sink.getvalue())


def parts_table(parts: Sequence[tuple[str, int]], n_rows: int) -> pa.Buffer:
    """Where each part begins, and how many rows there are, as a file."""
    names, first = [name for name, _ in parts], [row for _, row in parts]
    table = pa.table({"part": pa.array(names, pa.string()), "first_row": pa.array(first, pa.int64())})
    sink = pa.BufferOutputStream()
    with pa.ipc.new_file(sink, table.schema.with_metadata({"n_rows": str(n_rows)})) as file:
        file.write_table(table.replace_schema_metadata({"n_rows": str(n_rows)}))
    return sink.getvalue()


def _n_rows(folder: Folder, name: str) -> int:
    with folder.open(name) as file:
        return int(pq.read_metadata(file).num_rows)
