"""Texts scored in this process, without a run folder: what a notebook calls, and what is scored beside a run."""

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Literal

import pyarrow as pa

from raypipe import sample
from raypipe.contracts.op import Op
from raypipe.contracts.parts import apply
from raypipe.contracts.statistic import Statistic
from raypipe.corpus.rows import source_of
from raypipe.lm.heads import Head
from raypipe.models.causal import open_model
from raypipe.score.forward_pass import ForwardPass
from raypipe.score.heads.heads_file import chosen_heads, parse_heads
from raypipe.score.statistics.influence import Influence


def score(
    texts: Sequence[str | None],
    scorer: Statistic | Sequence[Statistic] = Influence(),  # noqa: B008 (frozen)
    *,
    model: str = sample.SAMPLE,
    heads: Sequence[Head] | str | Path | None = None,
    max_tokens: int = 2048,
    dtype: Literal["auto", "float32", "bfloat16", "float8"] = "auto",
    token_budget: int = 4096,
) -> pa.Table:
    """The columns of scores/ for each text, same order; a text that can't be scored has a reason.

    `heads` are pairs (layer, head), or a heads file; None: the embedded model's shipped ones. The model is kept open
    for the next call with the same settings.

        >>> import raypipe
        >>> table = raypipe.score(["The cat sat on the mat.", ""])
        >>> table["reason"].to_pylist()
        [None, 'empty']
        >>> round(table["loss"][0].as_py())
        5

    Raises
    ------
    ValueError
        If the settings, the model or the heads can't be used.
    """
    import torch

    statistics = tuple(scorer) if isinstance(scorer, Sequence) else (scorer,)
    needs_heads = any("nll_masked" in part.needs for part in statistics)
    found = _heads(heads, model) if needs_heads else ()
    if dtype == "auto":
        dtype = "bfloat16" if torch.cuda.is_available() else "float32"
    op = _opened(statistics, model, found, max_tokens, dtype, max(token_budget, max_tokens))
    return score_with(op, texts)


def score_with(op: Op, texts: Sequence[str | None]) -> pa.Table:
    """What an Op that is set up gives for each text, same order, with status and reason."""
    return apply(op, source_of(texts))


@lru_cache(maxsize=1)
def _opened(
    statistics: tuple[Statistic, ...], model: str, heads: tuple[Head, ...], max_tokens: int, dtype: str, budget: int
) -> ForwardPass:
    import torch

    op = ForwardPass(model, statistics, heads, max_tokens=max_tokens, dtype=dtype, token_budget=budget)
    op.check()
    op.setup(n_threads=torch.get_num_threads())
    return op


def _heads(heads: Sequence[Head] | str | Path | None, model: str) -> tuple[Head, ...]:
    if heads is None:
        if model != sample.SAMPLE:
            raise ValueError(f"heads must be given for model {model!r}: pairs (layer, head), or a heads file.")
        heads = sample.heads_file()
    if not isinstance(heads, (str, Path)):
        return tuple((int(layer), int(head)) for layer, head in heads)
    record = parse_heads(Path(heads).read_bytes(), where=str(heads))
    return chosen_heads(record, sha256=open_model(model).sha256(), allow_weak=False, where=str(heads))
