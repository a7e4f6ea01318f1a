"""Checkpoints that are complete or absent: files first, then a manifest with the SHA-256 of each.

    checkpoints/00000120/...            the engine's files of all workers, and the task's state
    checkpoints/00000120/manifest.json  last; without it there is no checkpoint

Only files that the manifest lists are read, after their hash was compared, from a copy on this machine: what a pickle
in them may do, the job that wrote them could have done.
"""

import errno
import hashlib
import json
import logging
import math
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import pyarrow as pa
from safetensors.torch import load_file, save_file

from raypipe.contracts.task import LOSS, Figure, Task
from raypipe.storage.folder import Folder
from raypipe.train.engines.engine import Engine
from raypipe.train.engines.workers import Workers
from raypipe.train.loop.finite import NotFinite, kept_since

log = logging.getLogger(__name__)
MANIFEST = "manifest.json"
TASK = "task.safetensors"
CHUNK = 1 << 24


class CheckpointLost(OSError):
    """A checkpoint couldn't be written; the one before it is whole."""


@dataclass(frozen=True)
class State:
    """All that training remembers beside weights and optimiser: its position."""

    step: int = 0
    order: str = ""
    """Hash of everything seen so far, in its order."""
    size: int = 0
    """Of all rows seen: tokens of texts, else rows."""
    heldout: float | None = None
    """Held-out loss at this step, where it was measured."""
    best: float | None = None
    """The best held-out figure up to this step, of the one that the run is judged by."""
    figures: dict[str, float] = field(default_factory=dict)
    """What the task measures of held-out rows beside the loss."""

    def measured(self, loss: float, figures: dict[str, float], *, by: Figure) -> tuple["State", bool]:
        """The state with what was measured (NaN: nothing to measure by), and whether it is the best by a figure."""
        now = loss if by == LOSS else figures.get(by.name, math.nan)
        found = self if math.isnan(loss) else replace(self, heldout=loss, figures=figures)
        if math.isnan(now):
            return found, False
        is_best = self.best is None or by.is_better(now, self.best)
        return replace(found, best=now if is_best else self.best), is_best

    @classmethod
    def parse(cls, raw: dict[str, Any]) -> "State":
        """From JSON; of a version that counted tokens only, too."""
        known = {"size" if name == "tokens" else name: value for name, value in raw.items()}
        return cls(**known)


@dataclass(frozen=True)
class Manifest:
    """What a checkpoint consists of."""

    state: State
    world: int
    identity: dict[str, Any]
    """Of the run: settings and data."""
    files: dict[str, dict[str, Any]] = field(default_factory=dict)
    """By name: sha256 and size_bytes."""

    @classmethod
    def parse(cls, content: bytes) -> "Manifest":
        """From JSON."""
        raw = json.loads(content)
        return cls(State.parse(raw["state"]), raw["world"], raw["identity"], raw["files"])


@dataclass
class Checkpoints:
    """The checkpoints of a run at any URI; the last `keep` and the best held-out one are kept."""

    folder: Folder
    workers: Workers
    identity: dict[str, Any]
    keep: int = 2
    best_by: Figure = LOSS
    """The held-out figure by which a checkpoint is the best."""

    def steps(self) -> list[int]:
        """Of complete checkpoints, rising."""
        names = [entry.path.split("/") for entry in self.folder.files(recursive=True)]
        return sorted(int(parts[0]) for parts in names if len(parts) == 2 and parts[1] == MANIFEST)

    def save(self, state: State, engine: Engine, task: Task[Any]) -> None:
        """Write a checkpoint together; every worker calls it.

        Raises
        ------
        CheckpointLost
            On every worker, if one of them couldn't write; nothing half-written stays.
        NotFinite
            On every worker, if a weight or the optimiser's state isn't; nothing is written.
        """
        self._require_finite(state, engine)
        target, error, files = self.folder / name_of(state.step), "", {}
        with tempfile.TemporaryDirectory(prefix="raypipe-checkpoint-") as local:
            try:
                engine.save(Path(local))
                if self.workers.rank == 0:
                    save_file(task.state(), Path(local) / TASK)
                files = _put_all(Path(local), target)
            except (OSError, RuntimeError) as failure:  # torch and safetensors report a full disk as RuntimeError
                error = str(failure) or type(failure).__name__
        told = self.workers.gather((error, files))
        if lost := [what for what, _ in told if what]:
            self._refuse(state.step, lost[0])
        every = {name: known for _, part in told for name, known in part.items()}
        manifest = Manifest(state, self.workers.world, self.identity, every)
        why = self.workers.from_first(lambda: self._finish(target, manifest))
        if why:
            self._refuse(state.step, why)

    def _require_finite(self, state: State, engine: Engine) -> None:
        if not engine.is_finite():
            last = max(self.steps(), default=None)
            raise NotFinite(
                f"the weights or the optimiser's moments aren't finite after step {state.step}: no checkpoint is "
                f"written of it; {kept_since(last)}. Lower the learning rate, or clip the gradient."
            )

    def _finish(self, target: Folder, manifest: Manifest) -> str:
        """What makes a checkpoint one; or why it couldn't be written."""
        try:
            target.write(MANIFEST, json.dumps(asdict(manifest), indent=1).encode())
        except OSError as failure:
            return str(failure)
        try:
            self._prune()
        except OSError as failure:  # the new one is whole; sweep() takes what is left of the old
            log.warning("old checkpoints of %s couldn't be deleted: %s", self.folder.uri, failure)
        return ""

    def restore(self, engine: Engine, task: Task[Any]) -> State | None:
        """Load the last checkpoint that is whole, on every worker; None if there is none."""
        found = self.workers.from_first(self._last_whole)
        return None if found is None else self._load(found, engine, task)

    def restore_best(self, engine: Engine, task: Task[Any]) -> State:
        """Load the checkpoint of the best held-out figure, on every worker.

        Raises
        ------
        ValueError
            If none was measured.
        """
        found = self.workers.from_first(self.best)
        if found is None:
            raise ValueError(
                f"the best checkpoint of {self.folder.uri} must have a held-out {self.best_by.name}, got none; hold "
                "examples out, or take the last."
            )
        return self._load(found, engine, task)

    def _load(self, found: int, engine: Engine, task: Task[Any]) -> State:
        manifest = self.manifest(found)
        with self._here(found, manifest) as local:
            engine.load(local, world=manifest.world)
            task.load_state(load_file(local / TASK))
        if not engine.is_finite():  # of a version that wrote them all the same
            raise NotFinite(
                f"the checkpoint of step {found} in {self.folder.uri} holds weights that aren't finite; delete its "
                "folder to go on from the one before it, or start again."
            )
        return manifest.state

    def manifest(self, step: int) -> Manifest:
        """Of a complete checkpoint."""
        return Manifest.parse((self.folder / name_of(step)).read(MANIFEST))

    def best(self) -> int | None:
        """The step with the best held-out figure among those that are there, the first of equals."""
        states = {step: self.manifest(step).state for step in self.steps()}
        is_loss, sign = self.best_by == LOSS, -1 if self.best_by.higher_is_better else 1
        measured = {step: s.heldout if is_loss else s.figures.get(self.best_by.name) for step, s in states.items()}
        known = {step: sign * figure for step, figure in measured.items() if not (figure is None or math.isnan(figure))}
        return min(known, key=lambda step: known[step]) if known else None

    def sweep(self) -> None:
        """Remove what a kill left half-written."""
        complete = {name_of(step) for step in self.steps()}
        for name in {entry.path.split("/")[0] for entry in self.folder.files(recursive=True)} - complete:
            (self.folder / name).remove()

    def _last_whole(self) -> int | None:
        for step in reversed(self.steps()):
            damaged = _damaged(self.folder / name_of(step), self.manifest(step))
            if damaged is None:
                return step
            log.warning("checkpoint %s is left out: %s", name_of(step), damaged)
        return None

    def _refuse(self, step: int, why: str) -> None:
        if self.workers.rank == 0:
            (self.folder / name_of(step)).remove()
        self.workers.gather(None)
        last = max(self.steps(), default=None)
        good = f"the one of step {last} is whole" if last is not None else "there is none before it"
        raise CheckpointLost(
            errno.EIO,
            f"the checkpoint of step {step} couldn't be written to {self.folder.uri} ({why}); {good}. "
            "Free some space there or in the temporary folder, and give the same command again.",
        )

    def _prune(self) -> None:
        steps = self.steps()
        keep = {*steps[-self.keep :], self.best()}
        for step in steps:
            if step not in keep:
                old = self.folder / name_of(step)
                old.delete(MANIFEST)  # first: what is left is no checkpoint
                old.remove()

    @contextmanager
    def _here(self, step: int, manifest: Manifest) -> Iterator[Path]:
        """The files of a checkpoint in a folder of this machine, fetched once a machine."""
        is_first, local = self.workers.local_rank == 0, None
        if is_first:
            local = tempfile.mkdtemp(prefix="raypipe-checkpoint-")
        source = self.folder / name_of(step)
        self.workers.together(lambda: _get_all(source, manifest, Path(local)) if local else None)
        places = dict(place for place in self.workers.gather((self.workers.node, local)) if place[1] is not None)
        try:
            yield Path(places[self.workers.node])
        finally:
            self.workers.gather(None)
            if local is not None:
                shutil.rmtree(local, ignore_errors=True)


def name_of(step: int) -> str:
    """The folder of a checkpoint."""
    return f"{step:08d}"


def _put_all(local: Path, target: Folder) -> dict[str, dict[str, Any]]:
    """Copy a local folder's files; what each is."""
    files = {}
    for path in sorted(path for path in local.rglob("*") if path.is_file()):
        with pa.memory_map(str(path)) if path.stat().st_size else pa.BufferReader(b"") as mapped:
            content = mapped.read_buffer()
            name = path.relative_to(local).as_posix()
            target.write(name, content)
            files[name] = {"sha256": hashlib.sha256(content).hexdigest(), "size_bytes": content.size}
    return files


def _get_all(source: Folder, manifest: Manifest, local: Path) -> None:
    """Copy the files that a manifest lists, and compare what was copied.

    Raises
    ------
    ValueError
        If one isn't what the manifest says.
    """
    for name, known in manifest.files.items():
        source.path(name)  # refuses a name that leads out of the folder
        path = local / name
        path.parent.mkdir(parents=True, exist_ok=True)
        digest = hashlib.sha256()
        with source.open(name) as stream, path.open("wb") as copy:
            while content := stream.read(CHUNK):
                digest.update(content)
                copy.write(content)
        if digest.hexdigest() != known["sha256"]:
            raise ValueError(f"{source.uri}/{name} isn't the file that the checkpoint's manifest lists.")


def _damaged(folder: Folder, manifest: Manifest) -> str | None:
    """What is wrong with a checkpoint's files, None if they are what the manifest says."""
    there = {entry.path: entry.size_bytes for entry in folder.files(recursive=True)}
    for name, known in manifest.files.items():
        if there.get(name) != known["size_bytes"]:
            return f"{name} must have {known['size_bytes']} bytes, got {there.get(name, 'no file')}"
        digest = hashlib.sha256()
        with folder.open(name) as stream:
            while content := stream.read(CHUNK):
                digest.update(content)
        if digest.hexdigest() != known["sha256"]:
            return f"{name} isn't the file that was written"
    return None
