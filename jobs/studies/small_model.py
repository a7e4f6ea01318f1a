"""A small language model for studies, pretrained by this project's own loop, in this process, on known texts."""

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from raypipe.columns import SOURCE
from raypipe.contracts.parts import apply
from raypipe.corpus.rows import text_hash
from raypipe.models.presets import config_of, new_model
from raypipe.models.tokenizer import open_vocabulary, train_tokenizer
from raypipe.storage.folder import Folder
from raypipe.train.data.index import Mix, read_listing
from raypipe.train.data.loader import BatchLayout
from raypipe.train.data.order import DataOrder
from raypipe.train.data.token_loader import TokenLoader
from raypipe.train.data.tokenise import Tokenise
from raypipe.train.engines.engine import Precision
from raypipe.train.engines.optimiser import Optimiser
from raypipe.train.engines.torch_engine import TorchEngine
from raypipe.train.engines.workers import Workers
from raypipe.train.loop.checkpoint import Checkpoints
from raypipe.train.loop.loop import train
from raypipe.train.loop.meter import Meter
from raypipe.train.loop.plan import TrainingPlan
from raypipe.train.loop.schedule import Schedule
from raypipe.train.tasks.next_token import NextToken

LENGTH = 128


def source_table(texts: Sequence[str]) -> pa.Table:
    """Texts as the rows of a corpus."""
    columns = {
        "id": [str(row) for row in range(len(texts))],
        "text_hash": [text_hash(text.encode()) for text in texts],
        "domain": ["all"] * len(texts),
        "text": list(texts),
        "n_bytes": [len(text.encode()) for text in texts],
        "reason": [None] * len(texts),
    }
    return pa.table(columns, schema=SOURCE)


def prepare(texts: Sequence[str], folder: Path, *, vocabulary_size: int) -> None:
    """A tokenizer learnt from texts in folder/model, and their tokens in folder/tokens, a row for each."""
    train_tokenizer(texts, vocabulary_size=vocabulary_size, folder=folder / "model")
    tokens = apply(Tokenise(str(folder / "model")), source_table(texts))
    keys = source_table(texts).select(["id", "text_hash"])
    table = pa.table({**dict(zip(keys.column_names, keys.columns, strict=True)),
                      **dict(zip(tokens.column_names, tokens.columns, strict=True))})  # fmt: skip
    (folder / "tokens").mkdir()
    record = {"raypipe.source_path": "texts", "raypipe.start": "0"}
    pq.write_table(table.replace_schema_metadata(record), folder / "tokens/texts.parquet")


def pretrain(
    folder: Path, times: np.ndarray, *, shape: str, passes: float, learning_rate: float, batch_tokens: int, seed: int,
    start: Any = None,
) -> Any:  # fmt: skip
    """A causal model after `passes` over the rows, each `times` [n] a pass; from scratch, or from `start`."""
    mix = Mix(read_listing(Folder(str(folder / "tokens"))), times.astype(np.float32), np.zeros(len(times), bool))
    n_tokens = int((mix.listing.n_tokens * times).sum())
    workers, n_sequences = Workers(0, 1, 0, torch.device("cpu")), max(1, batch_tokens // LENGTH)
    vocabulary = open_vocabulary(str(folder / "model"))
    shape_of = config_of(shape, vocabulary_size=vocabulary.size, length=LENGTH, end=vocabulary.end)
    task = NextToken(start if start is not None else new_model(shape_of, seed=seed, initialisation="normal"))
    layout = BatchLayout(0, 1, n_sequences, n_sequences)
    optimiser = Optimiser(learning_rate=learning_rate, weight_decay=0.0)
    engine = TorchEngine(
        task.models, optimiser, n_micro=layout.n_micro, precision=Precision("float32"), workers=workers
    )
    loader = TokenLoader(
        Folder(str(folder / "tokens")), DataOrder(mix, seed=seed, length=LENGTH, window_tokens=1 << 20), layout
    )
    n_steps = max(1, round(passes * n_tokens / (n_sequences * LENGTH)))
    with tempfile.TemporaryDirectory() as scratch:
        train(
            task, engine, loader,
            TrainingPlan(n_steps, Schedule(), seed=seed, save_every=n_steps + 1, heldout_every=0),
            checkpoints=Checkpoints(Folder(scratch), workers, {}),
            meter=Meter(None, learning_rate=learning_rate, on_step=lambda _: None), asked=lambda: None,
        )  # fmt: skip
    causal: Any = task.module.causal
    return causal.eval()
