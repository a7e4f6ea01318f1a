"""A gather stage: columns of a whole run folded into one artefact, by partial results on workers and a tree of merges.

The artefact is RUN/STAGE/state.safetensors, what it says is in the card. It is made in one go: a kill costs the time
since the start, and a change of what it reads makes it anew.
"""

import copy
import logging
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any, Generic, TypeVar

import numpy as np
import ray
from safetensors.numpy import load, save

from raypipe.contracts.gather import Gather
from raypipe.corpus import Corpus, Shard
from raypipe.corpus.lines import batched
from raypipe.corpus.stages import Files, Joined
from raypipe.run import cluster
from raypipe.run.event_loop import StageFailed, root_cause
from raypipe.run.exits import end_in_time
from raypipe.run.inputs import Sizes, planned, resolve
from raypipe.runs import card as cards
from raypipe.runs.card import Json
from raypipe.runs.names import checked_stage
from raypipe.runs.signals import Stopped
from raypipe.runs.stage import at_work
from raypipe.storage.folder import Folder

log = logging.getLogger(__name__)
STATE = "state.safetensors"
BLOCK = 20
"""Shards folded by one task."""
FAN_IN = 8
"""Partial results merged by one task."""
WAVE = 512
"""Blocks handed to Ray at once."""
MAX_RETRIES = 3
LOOK_EVERY_S = 1.0
G = TypeVar("G", bound=Gather)
Partial = tuple[dict[str, np.ndarray], int]
"""A state and the rows that it is of."""


@dataclass
class GatherStage(Generic[G]):
    """Folds columns of a corpus and of finished stages into RUN/STAGE."""

    run: Folder
    stage: str
    gather: G
    """Empty: its settings."""
    corpus: Corpus
    sizes: Sizes
    """As the stages that it reads were cut."""
    stages: tuple[str, ...] = ()
    identity: Json = field(default_factory=dict)
    """Whatever can change the result beside what it reads, flat."""
    stopping: threading.Event = field(default_factory=threading.Event)
    is_owner: Callable[[], bool] = lambda: True
    block: int = BLOCK
    fan_in: int = FAN_IN

    def __call__(self) -> G:
        """What was gathered; done again only if what it reads or its settings have changed.

        Raises
        ------
        KeyError, FileNotFoundError, ValueError
            If what it reads isn't there, or a stage that it reads was made of other rows.
        StageFailed
            If a file can't be read, or two don't hold the same rows.
        Stopped
            If `stopping` was set.
        """
        folder = self.run / checked_stage(self.stage)
        inputs = resolve(self.run, self.gather.reads, stages=self.stages)
        plan, files = planned(self.corpus, self.sizes, inputs, folder)
        shards = [(shard, files.get(shard.key, {})) for shard in plan]
        reader = inputs.joined(self.corpus, part_rows=self.sizes.part_rows)
        identity = {**self.identity, **inputs.identity, "gather": repr(self.gather), "version": self.gather.version}
        made_of = {"files": plan.n_files, "shards": len(shards), "digest": digest_of(shards)}
        card = cards.read_card(folder)
        if card and card["status"] == "finished" and card["identity"] == identity and card["inputs"] == made_of:
            return self.gather.from_state(load(folder.read(STATE)))
        with at_work(folder, _new_card(self, identity)) as card:
            state, n_rows = self._folded(reader, shards)
            folder.write(STATE, save({name: np.ascontiguousarray(array) for name, array in state.items()}))
            found = self.gather.from_state(state)
            card |= {"inputs": made_of, "counts": {"shards": len(shards), "rows": n_rows}, "result": found.result()}
        return found

    def _folded(self, reader: Joined, shards: Sequence[tuple[Shard, Files]]) -> Partial:
        """All shards, in waves; of each wave one partial result is left."""
        cluster.connect()
        cluster.check_seen_by_all(self.run, [shard for shard, _ in shards])
        empty: Partial = (self.gather.state(), 0)
        found = [ray.put(empty)]
        for wave in batched(batched(shards, self.block), WAVE):
            parts = [_partial.remote(self.gather, reader, block) for block in wave]
            found = [self._merged([*found, *parts])]
            self._wait(found[0])
        result: Partial = ray.get(found[0])
        return result

    def _merged(self, parts: list[Any]) -> Any:
        while len(parts) > 1:
            parts = [_merge.remote(self.gather, *some) for some in batched(parts, self.fan_in)]
        return parts[0]

    def _wait(self, reference: Any) -> None:
        while not ray.wait([reference], timeout=LOOK_EVERY_S)[0]:
            if self.stopping.is_set():
                raise Stopped(f"{self.stage}: stopped; the same command begins it again.")
            if not self.is_owner():
                raise StageFailed(f"{self.stage}: another driver has taken over this run folder; this one stops.")
        try:
            ray.get(reference)
        except ray.exceptions.RayError as error:
            raise StageFailed(f"{self.stage}: {root_cause(error)}") from error


@ray.remote(num_cpus=1, max_retries=MAX_RETRIES)
def _partial(gather: Gather, reader: Joined, block: Sequence[tuple[Shard, Files]]) -> Partial:
    """What some shards come to."""
    end_in_time()
    found, n_rows = copy.deepcopy(gather), 0
    for shard, files in block:
        for _, _, table in reader.parts(shard, files):
            found.update(table)
            n_rows += len(table)
    return found.state(), n_rows


@ray.remote(num_cpus=1, max_retries=MAX_RETRIES)
def _merge(gather: Gather, *parts: Partial) -> Partial:
    """Partial results as one, in order."""
    end_in_time()
    found = gather.from_state(parts[0][0])
    for state, _ in parts[1:]:
        found.merge(gather.from_state(state))
    return found.state(), sum(n_rows for _, n_rows in parts)


def digest_of(shards: Sequence[tuple[Shard, Files]]) -> str:
    """Changes when a file of the corpus or of a stage that is read does."""
    digest = blake2b(digest_size=16)
    for shard, _ in shards:
        digest.update(f"{shard.key}\0{shard.max_rows}\n".encode())
    return digest.hexdigest()


def _new_card(stage: GatherStage[Any], identity: Json) -> Json:
    return {
        "stage": stage.stage,
        "kind": "gather",
        "op": type(stage.gather).__name__,
        "identity": identity,
        "running": {"block": stage.block, "fan_in": stage.fan_in},
        "set_aside": {},
        "warnings": [],
    }
