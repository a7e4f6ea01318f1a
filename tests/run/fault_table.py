"""What each fault costs, in rows and in seconds: python -m tests.run.fault_table [NAME ...].

Every fault is met by a run of its own on real Ray processes, with the patience that jobs have; what it costs is the
run's time beyond an undisturbed one's, from the first commit to the end, so that the start of Ray counts for neither.
"""

import os
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

os.environ["RAY_AUTH_MODE"] = "disabled"  # before anything imports Ray

import numpy as np
import pyarrow.parquet as pq
import ray
from rich.console import Console
from rich.table import Table

from raypipe.run.patience import Patience
from raypipe.run.stage import is_complete

from ..conftest import ROOT
from .fake_op import CRASH, CRASH_READER, HANG, LOSE_DEVICE, RAISE, TOO_LARGE, FakeOp
from .stages import assert_scored, fault, make_stage, stamps, texts_of, write_lines

N_FILES, N_ROWS, BATCH_S = 8, 20, 0.2


@dataclass(frozen=True)
class Fault:
    """A fault: a text that misbehaves every time, or a file that makes one process misbehave once."""

    name: str
    mark: str = ""
    once: str = ""
    skipped: str | None = None
    """The reason of the one row that is skipped for it."""


FAULTS = (
    Fault("none"),
    Fault("SIGKILL of a reader", once="kill-prepare"),
    Fault("SIGKILL of a worker that loads", once="kill-setup"),
    Fault("SIGKILL of a worker in a batch", once="kill-forward"),
    Fault("SIGKILL of a worker in mid-write", once="kill-write"),
    Fault("SIGSTOP of a reader", once="stop-prepare"),
    Fault("SIGSTOP of a worker in a batch", once="stop-forward"),
    Fault("SIGSTOP of a worker in mid-write", once="stop-write"),
    Fault("a document raises", RAISE, skipped="failed: RuntimeError: this document can't be scored"),
    Fault("a document crashes the scorer", CRASH, skipped="crashed the scorer (signal 11)"),
    Fault("a document crashes the tokenizer", CRASH_READER, skipped="crashed the tokenizer (signal 11)"),
    Fault("a document hangs the scorer", HANG, skipped="hung the scorer"),
    Fault("a document breaks the device", LOSE_DEVICE,
          skipped="broke the device's driver or memory (it had to be opened anew)"),
    Fault("a batch is too large", TOO_LARGE),
)  # fmt: skip


def main(names: list[str]) -> None:
    """Meet the faults, all or those whose names hold one of the words, and print the table."""
    os.environ["PYTHONPATH"] = str(ROOT)  # inherited by workers
    ray.init("local", num_cpus=6, object_store_memory=150 << 20, include_dashboard=False, log_to_driver=False)
    chosen = [one for one in FAULTS if one.name == "none" or not names or any(word in one.name for word in names)]
    table = Table("injected", "rows lost", "rows skipped", "seconds more")
    undisturbed = 0.0
    for one in chosen:
        seconds, n_lost, n_skipped = meet(one)
        undisturbed = undisturbed or seconds
        more = f"{seconds - undisturbed:.1f}" if one.name != "none" else f"({seconds:.1f} in all)"
        table.add_row(one.name, str(n_lost), str(n_skipped), more)
        print(one.name, more, flush=True)
    Console(width=100).print(table)
    ray.shutdown()


def meet(one: Fault) -> tuple[float, int, int]:
    """Seconds from the first commit to the end, rows lost and rows skipped; a run that doesn't survive raises."""
    texts = texts_of(N_FILES * N_ROWS)
    bad = len(texts) // 2
    if one.mark:
        texts[bad] = f"x {one.mark}"
    with tempfile.TemporaryDirectory() as temporary:
        root = Path(temporary)
        for number, part in enumerate(np.array_split(np.array(texts, object), N_FILES)):
            write_lines(root / f"corpus/part-{number}.jsonl", part.tolist())
        once = fault(root, one.once) if one.once else str(root)
        card = make_stage(root, FakeOp(batch_s=BATCH_S, once=once), patience=Patience())()
        ended = time.time()
        assert not one.once or os.listdir(once) == [], "the fault was not met"
        assert is_complete(card)
        assert_scored(root, texts, skipped={texts[bad]: one.skipped} if one.skipped else {})
        rows = sum(pq.read_metadata(path).num_rows for path in (root / "run/scores").glob("*.parquet"))
        seconds = ended - min(stamps(root).values()) / 1e9
        return seconds, len(texts) - rows, sum(card["counts"]["skipped"].values())


if __name__ == "__main__":
    main(sys.argv[1:])
