"""Debates about rows: who holds them, about which rows, and into which files."""

import sys
import threading
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from raypipe.label.debate.debate import DebateQuestion, hold_debates
from raypipe.label.debate.transcripts import file_name, missing_ranges, write_transcripts
from raypipe.models.causal import open_model
from raypipe.models.tokenizer import open_vocabulary
from raypipe.runs.signals import Stopped
from raypipe.storage.folder import Folder
from raypipe.train.data.binary import BinaryColumns, BinaryRows
from raypipe.train.data.splits import split_halves

from .binary_data import BinarySettings, say_skipped
from .common import RunSettings
from .training import part

if TYPE_CHECKING:
    from raypipe.lm.sampling import Sampler


@dataclass(frozen=True, kw_only=True)
class DebateSettings(DebateQuestion, BinarySettings, RunSettings):
    """Who debates, and how."""

    debater: str = "sample"
    """Causal LM that argues both sides: folder, org/name[@revision], GGUF file, or `sample`."""
    transcripts: int = 4
    """Debates about each row, of seeds 1, 2 ..."""
    max_new_tokens: int = 96
    """Tokens of a turn at most."""
    temperature: float = 0.7
    """Of sampling; 0: the likeliest token always."""
    batch_rows: int = 8
    """Prompts that go through the debater together."""
    rows_per_file: int = 64
    """Rows of a file of transcripts: what a kill costs at most."""
    dtype: Literal["auto", "float32", "bfloat16"] = "auto"
    """Of the debater; auto: bfloat16 on a GPU, float32 on a CPU."""


def check(config: DebateSettings) -> None:
    """Refuse numbers out of range, and debaters that can't be opened.

    Raises
    ------
    ValueError
        With what to do.
    """
    if config.transcripts < 1 or config.batch_rows < 1:
        raise ValueError(
            f"transcripts and batch_rows must be at least 1, got {config.transcripts} and {config.batch_rows}."
        )
    open_model(config.debater).check()


def debated(config: DebateSettings) -> BinaryRows:
    """All rows but the test's, which no debate is ever about."""
    rows: BinaryRows = config.load()
    say_skipped(rows)
    halves = split_halves(rows.text_hash, seed=0, test_share=config.test_share)
    return rows.of(np.sort(np.concatenate([halves.first, halves.second])))


def hold(config: DebateSettings, rows: BinaryRows, folder: Folder, stopping: threading.Event) -> None:
    """Write the files that are missing.

    Raises
    ------
    Stopped
        If `stopping` was set before the last; those that are there stay.
    """
    sampler = None
    for seed in range(1, config.transcripts + 1):
        for span in missing_ranges(folder, seed=seed, n_rows=len(rows.rows), rows_per_file=config.rows_per_file):
            if stopping.is_set():
                raise Stopped("stopped between two files; go on with the same command.")
            sampler = sampler or open_sampler(config)
            _write(config, rows.of(span), folder, file_name(seed, span), seed, sampler)
            print(f"seed {seed}: {span.stop:,} of {len(rows.rows):,} rows", file=sys.stderr)


def dtype_of(config: DebateSettings) -> str:
    """Of the debater's weights here: bfloat16 on a GPU unless something else is asked for."""
    import torch

    on_gpu = torch.cuda.is_available()
    return {True: "bfloat16", False: "float32"}[on_gpu] if config.dtype == "auto" else config.dtype


def open_sampler(config: DebateSettings) -> "Sampler":
    """The debater on this process's device."""
    import torch

    from raypipe.lm.sampling import Sampler

    device = "cuda" if torch.cuda.is_available() else "cpu"
    model = open_model(config.debater)
    return Sampler(
        model.weights(dtype=dtype_of(config), device=device),
        open_vocabulary(config.debater),
        max_new_tokens=config.max_new_tokens,
        temperature=config.temperature,
    )


def _write(config: DebateSettings, rows: BinaryRows, folder: Folder, name: str, seed: int, sampler: "Sampler") -> None:
    """The debates of one file; what goes through the model together is a function of the file's rows alone."""
    held = []
    for start in range(0, len(rows.rows), config.batch_rows):
        batch = rows.of(range(start, min(start + config.batch_rows, len(rows.rows))))
        texts = [row.text for row in batch.rows]
        held += hold_debates(texts, batch.text_hash, sampler, part(DebateQuestion, config), seed=seed)
    places = [(row.path, row.row) for row in rows.rows]
    write_transcripts(folder, name, held, places=places, text_hash=rows.text_hash)


def identity_of(config: DebateSettings, rows: BinaryRows) -> dict[str, Any]:
    """Whatever can change a transcript; more debates a row change none that is there."""
    names = ("max_new_tokens", "temperature", "batch_rows", "rows_per_file")
    debater = open_model(config.debater)
    return {
        "rows_sha256": rows.sha256,
        "debater_sha256": debater.sha256(),
        "tokenizer_sha256": debater.tokenizer_sha256(),
        "chat_template": open_vocabulary(config.debater).tokenizer.chat_template,
        "dtype": dtype_of(config),
        **asdict(part(DebateQuestion, config)),
        **asdict(part(BinaryColumns, config)),
        **{name: getattr(config, name) for name in names},
    }
