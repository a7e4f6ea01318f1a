"""Texts embedded in this process, without a run folder: what a notebook calls."""

from collections.abc import Sequence
from functools import lru_cache
from typing import Literal

import pyarrow as pa

from raypipe.contracts.parts import apply
from raypipe.corpus.rows import source_of
from raypipe.embed.embed import Embed
from raypipe.embed.formats import NumberFormat
from raypipe.embed.template import PLAIN
from raypipe.models.causal import MINI
from raypipe.models.sentence_files import Pooling

TOKEN_BUDGET = 1 << 14


def embed(
    texts: Sequence[str | None],
    *,
    model: str = MINI,
    template: str = PLAIN,
    pooling: Pooling | None = None,
    max_tokens: int | None = None,
    dimensions: int | None = None,
    number_format: NumberFormat = "float32",
    max_chunks: int = 1,
    dtype: Literal["auto", "float32", "bfloat16"] = "auto",
) -> pa.Table:
    """The columns of embeddings/ for each text, same order; a text that can't be embedded has a reason.

    `pooling` and `max_tokens` are as the model's files say, where none is given. The model is kept open for the next
    call with the same settings.

        >>> import raypipe
        >>> raypipe.embed(["The cat sat on the mat."])["embedding"].type.list_size
        384

    Raises
    ------
    ValueError
        If the settings or the model can't be used.
    """
    return apply(
        _opened(model, template, pooling, max_tokens, dimensions, number_format, max_chunks, dtype), source_of(texts)
    )


@lru_cache(maxsize=1)
def _opened(
    model: str,
    template: str,
    pooling: Pooling | None,
    max_tokens: int | None,
    dimensions: int | None,
    number_format: NumberFormat,
    max_chunks: int,
    dtype: str,
) -> Embed:
    import torch

    if dtype == "auto":
        dtype = "bfloat16" if torch.cuda.is_available() else "float32"
    op = Embed(
        model, template, pooling=pooling, max_tokens=max_tokens, dimensions=dimensions, number_format=number_format,
        max_chunks=max_chunks, dtype=dtype, token_budget=TOKEN_BUDGET,
    )  # fmt: skip
    op.token_budget = max(op.token_budget, op.encoder.max_tokens)  # whatever the model takes as one text fits
    op.check()
    op.setup(n_threads=torch.get_num_threads())
    return op
