"""Vectors of queries and other texts by an encoder, read out as a training of it on pairs does."""

import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from raypipe.runs.signals import Stopped
from raypipe.storage.folder import Folder

from .answering import here, start_device, where_it_trained
from .finetuning import FinetuneSettings
from .retrieval.vectors import vectors_in


def vectors_by(
    config: FinetuneSettings, model: str | Folder, texts: Mapping[str, Sequence[str]], *, stopping: threading.Event
) -> list[np.ndarray]:
    """[n, d] float32 of each list of texts, by what they are (`query`, `document`): with the prompt of such texts.

    Raises
    ------
    Stopped
        If `stopping` was set.
    """
    examples, training = config.examples, config.training
    settings, encoder = examples.embedding, examples.embedding.encoder(config.model, length=examples.length)
    reading = {
        "pooling": settings.pooling, "is_causal": False if settings.bidirectional else None,
        "max_tokens": encoder.max_tokens,
    }  # fmt: skip
    prompts = settings.prompts(encoder)
    return where_it_trained(
        training, vectors_of, model, reading, training.precision.dtype, training.n_threads,
        [(prompts[kind], of) for kind, of in texts.items()], stopping=stopping,
    )  # fmt: skip


def vectors_of(
    model: str | Folder, reading: dict[str, Any], dtype: str, n_threads: int | None,
    asked: Sequence[tuple[str, Sequence[str]]], is_stopping: Callable[[], bool] = lambda: False,
) -> list[np.ndarray]:  # fmt: skip
    """The vectors [n, d] of each list of texts, with the prompt before each."""
    import torch

    from raypipe.contracts.parts import apply
    from raypipe.corpus.rows import source_of
    from raypipe.embed.embed import Embed
    from raypipe.embed.template import PLAIN

    start_device(n_threads)
    found = []
    with here(model) as local:
        for prompt, texts in asked:
            op = Embed(local, prompt + PLAIN, dtype=dtype, token_budget=max(TOKENS, reading["max_tokens"]), **reading)
            op.setup(n_threads=n_threads or torch.get_num_threads())
            parts = []
            for start in range(0, len(texts), BATCH):
                if is_stopping():
                    raise Stopped("stopped while texts became vectors; the same command goes on.")
                parts.append(vectors_in(apply(op, source_of(texts[start : start + BATCH]))))
            found.append(np.concatenate(parts))
    return found


TOKENS = 1 << 13
"""That go through the model together."""
BATCH = 512
"""Texts between two looks at whether to stop."""
