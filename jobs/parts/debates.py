"""Debates about rows: who holds them, about which rows, and into which files."""

import sys
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from raypipe.label.debate.debate import DebateQuestion, Transcript, hold_debates
from raypipe.label.debate.transcripts import file_name, missing_ranges, write_transcripts
from raypipe.models.causal import open_model
from raypipe.models.tokenizer import open_vocabulary
from raypipe.runs.signals import Stopped
from raypipe.settings.identity import RUNNING, counts_as, identity_of
from raypipe.storage.folder import Folder
from raypipe.train.data.binary import BinaryRows
from raypipe.train.data.splits import split_halves

from .binary_data import BinarySettings, say_skipped
from .common import RunSettings

if TYPE_CHECKING:
    from raypipe.lm.sampling import Sampler


def _digests(debater: str) -> Mapping[str, Any]:
    model = open_model(debater)
    return {
        "debater_sha256": model.sha256(),
        "tokenizer_sha256": model.tokenizer_sha256(),
        "chat_template": open_vocabulary(debater).tokenizer.chat_template,
    }


def _dtype_here(dtype: str) -> Mapping[str, Any]:
    """bfloat16 on a GPU and float32 on a CPU, unless something else is asked for."""
    import torch

    return {"dtype": ("bfloat16" if torch.cuda.is_available() else "float32") if dtype == "auto" else dtype}


@dataclass(frozen=True, kw_only=True)
class Debater:
    """Who argues, and how."""

    debater: str = field(default="sample", metadata=counts_as(_digests))
    """Causal LM that argues both sides: folder, org/name[@revision], GGUF file, or `sample`."""
    max_new_tokens: int = 96
    """Tokens of a turn at most."""
    temperature: float = 0.7
    """Of sampling; 0: the likeliest token always."""
    dtype: Literal["auto", "float32", "bfloat16"] = field(default="auto", metadata=counts_as(_dtype_here))
    """Of the debater; auto: bfloat16 on a GPU, float32 on a CPU."""


@dataclass(frozen=True, kw_only=True)
class Holding:
    """How many debates are held, and how many together."""

    transcripts: int = field(default=4, metadata=RUNNING)  # more debates a row change none that is there
    """Debates about each row, of seeds 1, 2 ..."""
    batch_rows: int = 8
    """Prompts that go through the debater together."""
    rows_per_file: int = 64
    """Rows of a file of transcripts: what a kill costs at most."""


@dataclass(frozen=True, kw_only=True)
class DebateSettings:
    """Who debates about what, and how."""

    about: DebateQuestion = DebateQuestion()
    rows: BinarySettings
    speaker: Debater = Debater()
    holding: Holding = Holding()
    run: RunSettings = field(metadata=RUNNING)

    def check(self) -> None:
        """Refuse numbers out of range, and debaters that can't be opened.

        Raises
        ------
        ValueError
            With what to do.
        """
        if self.holding.transcripts < 1 or self.holding.batch_rows < 1:
            raise ValueError(
                f"transcripts and batch_rows must be at least 1, got {self.holding.transcripts} and "
                f"{self.holding.batch_rows}."
            )
        open_model(self.speaker.debater).check()

    def identity(self, rows: BinaryRows) -> dict[str, Any]:
        """Whatever can change a transcript."""
        return identity_of(self, rows_sha256=rows.sha256)


def debated(settings: BinarySettings) -> BinaryRows:
    """All rows but the test's, which no debate is ever about."""
    rows = settings.load()
    say_skipped(rows)
    halves = split_halves(rows.text_hash, seed=0, test_share=settings.test_share)
    return rows.of(np.sort(np.concatenate([halves.first, halves.second])))


def hold(config: DebateSettings, rows: BinaryRows, folder: Folder, stopping: threading.Event) -> None:
    """Write the files that are missing.

    Raises
    ------
    Stopped
        If `stopping` was set before the last; those that are there stay.
    """
    sampler, n_rows, size = None, len(rows.rows), config.holding.rows_per_file
    for seed in range(1, config.holding.transcripts + 1):
        for span in missing_ranges(folder, seed=seed, n_rows=n_rows, rows_per_file=size):
            if stopping.is_set():
                raise Stopped("stopped between two files; go on with the same command.")
            sampler = sampler or open_sampler(config.speaker)
            of_file = rows.of(span)
            held = held_about(of_file, config.about, sampler, batch_rows=config.holding.batch_rows, seed=seed)
            places = [(row.path, row.row) for row in of_file.rows]
            write_transcripts(folder, file_name(seed, span), held, places=places, text_hash=of_file.text_hash)
            print(f"seed {seed}: {span.stop:,} of {n_rows:,} rows", file=sys.stderr)


def open_sampler(speaker: Debater) -> "Sampler":
    """The debater on this process's device."""
    import torch

    from raypipe.lm.sampling import Sampler

    device = "cuda" if torch.cuda.is_available() else "cpu"
    model, dtype = open_model(speaker.debater), str(_dtype_here(speaker.dtype)["dtype"])
    return Sampler(
        model.weights(dtype=dtype, device=device),
        open_vocabulary(speaker.debater),
        max_new_tokens=speaker.max_new_tokens,
        temperature=speaker.temperature,
    )


def held_about(
    rows: BinaryRows, about: DebateQuestion, sampler: "Sampler", *, batch_rows: int, seed: int
) -> list[Transcript]:
    """The debates of one file; what goes through the model together is a function of the file's rows alone."""
    held: list[Transcript] = []
    for start in range(0, len(rows.rows), batch_rows):
        batch = rows.of(range(start, min(start + batch_rows, len(rows.rows))))
        held += hold_debates([row.text for row in batch.rows], batch.text_hash, sampler, about, seed=seed)
    return held
