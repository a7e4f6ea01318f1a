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


def embed(
    texts: Sequence[str | None],
    *,
    model: str = MINI,
    template: str = PLAIN,
    dimensions: int | None = None,
    number_format: NumberFormat = "float32",
    max_chunks: int = 1,
    dtype: Literal["auto", "float32", "bfloat16"] = "auto",
) -> pa.Table:
    """The columns of embeddings/ for each text, same order; a text that can't be embedded has a reason.

    The model is kept open for the next call with the same settings.

        >>> raypipe.embed(["The cat sat on the mat."])["embedding"]

    Raises
    ------
    ValueError
        If the settings or the model can't be used.
    """
    return apply(_opened(model, template, dimensions, number_format, max_chunks, dtype), source_of(texts))


@lru_cache(maxsize=1)
def _opened(
    model: str, template: str, dimensions: int | None, number_format: NumberFormat, max_chunks: int, dtype: str
) -> Embed:
    import torch

    if dtype == "auto":
        dtype = "bfloat16" if torch.cuda.is_available() else "float32"
    op = Embed(
        model, template, dimensions=dimensions, number_format=number_format, max_chunks=max_chunks, dtype=dtype,
        token_budget=1 << 14,
    )  # fmt: skip
    op.check()
    op.setup(n_threads=torch.get_num_threads())
    return op
