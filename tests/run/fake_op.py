"""An Op without a model: scores are computed from the hash of a text; texts and files say what goes wrong, and when.

A text with one of the marks below misbehaves every time; a file KIND in the folder `once` makes one process misbehave
once, whichever takes it first.
"""

import ctypes
import os
import signal
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from raypipe.columns import REASON, TEXT
from raypipe.contracts.op import TOKENS
from raypipe.models.causal import DeviceLost
from raypipe.storage.folder import Folder

RAISE, CRASH, HANG, TOO_LARGE, CRASH_READER = "<raise>", "<crash>", "<hang>", "<too large>", "<crash reader>"
LOSE_DEVICE = "<lose device>"


@dataclass
class FakeOp:
    """Deterministic scores, with faults on request."""

    salt: int = 0
    batch_rows: int = 4
    batch_s: float = 0.0
    """Seconds that a batch takes."""
    once: str | None = None
    """Folder of faults to commit once: kill-prepare, kill-setup, kill-forward, stop-forward, stop-prepare."""
    fails_in_setup: bool = False
    setups: str | None = None
    """Folder that gets a file for each process that was set up."""
    reads: ClassVar[tuple[str, ...]] = (TEXT,)
    version: ClassVar[int] = 1
    unit: ClassVar[str] = TOKENS
    padding: int = field(default=0, init=False, repr=False, compare=False)

    adds: ClassVar[pa.Schema] = pa.schema([("n_tokens", pa.int32()), ("score", pa.float32())])

    def prepare(self, table: pa.Table) -> pa.Table:
        commit_fault(self.once, "kill-prepare", "stop-prepare")
        texts = table[TEXT].to_pylist()
        if any(CRASH_READER in (text or "") for text in texts):
            crash()
        n_tokens = pa.array([len(text.split()) if text is not None else None for text in texts], pa.int32())
        return pa.table({TEXT: table[TEXT], "hash": table["text_hash"], "n_tokens": n_tokens, REASON: table[REASON]})

    def setup(self, *, n_threads: int) -> None:
        commit_fault(self.once, "kill-setup")
        if self.setups:
            (Path(self.setups) / str(os.getpid())).touch()
        if self.fails_in_setup:
            raise ValueError("model must be readable, got nonsense.")

    def batches(self, prepared: pa.Table) -> list[np.ndarray]:
        rows = np.flatnonzero(pc.is_null(prepared[REASON]).to_numpy())
        return [rows[start : start + self.batch_rows] for start in range(0, len(rows), self.batch_rows)]

    def cost(self, prepared: pa.Table) -> int:
        return int(pc.sum(prepared["n_tokens"]).as_py() or 0)

    def limits(self) -> dict[str, int]:
        return {"batch_rows": self.batch_rows}

    def __call__(self, batch: pa.Table) -> pa.Table:
        commit_fault(self.once, "kill-forward", "stop-forward")
        time.sleep(self.batch_s)
        text = " ".join(batch[TEXT].to_pylist())
        if RAISE in text:
            raise RuntimeError("this document can't be scored")
        if CRASH in text:
            crash()
        if LOSE_DEVICE in text:
            raise DeviceLost("CUDA error: an illegal memory access was encountered")
        if HANG in text:
            time.sleep(3600)
        if TOO_LARGE in text and len(batch) > 1:
            raise MemoryError("16 GiB wanted")
        self.padding += 1
        return pa.table(
            {"score": pa.array([score(value, self.salt) for value in batch["hash"].to_pylist()], pa.float32())}
        )


def score(text_hash: int, salt: int = 0) -> float:
    """What FakeOp gives a text."""
    return float(np.float32(((text_hash + salt) % 1_000_003) / 1_000_003))


def crash() -> None:
    """A native crash, at once and in this thread; a signal sent to the process may let it go on for a while."""
    ctypes.string_at(0)


def commit_fault(once: str | None, *kinds: str) -> None:
    """End or stop this process if a file says so; the file is consumed, so another process lives."""
    for kind in kinds if once else ():
        try:
            os.unlink(Path(once or "") / kind)
        except FileNotFoundError:
            continue
        os.kill(os.getpid(), signal.SIGSTOP if kind.startswith("stop") else signal.SIGKILL)


@dataclass(frozen=True)
class FaultyFolder(Folder):
    """A folder whose writes of shards fail on request."""

    once: str = ""
    """Folder of faults: kill-write (in mid-write), stop-write; `full`, `down` last for as long as the file is there."""

    def __getstate__(self) -> dict[str, str]:
        return {"uri": self.uri, "once": self.once}

    def __setstate__(self, state: dict[str, str]) -> None:
        for name, value in state.items():
            object.__setattr__(self, name, value)

    def write(self, name: str, content: bytes | pa.Buffer) -> None:
        if name.endswith(".parquet"):
            if (Path(self.once) / "kill-write").exists():
                self._write_temporary(name, bytes(content)[: len(content) // 2])
            commit_fault(self.once, "kill-write", "stop-write")
            if (Path(self.once) / "full").exists():
                raise OSError(28, "No space left on device")
            if (Path(self.once) / "down").exists():
                raise OSError("503 Service Unavailable")
        super().write(name, content)
