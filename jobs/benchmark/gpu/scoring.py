"""Both losses of documents by loops of transformers and by raypipe, on one device, from token ids in memory.

What a corpus needs beside (reading, tokenising, writing) is other processes' work ahead of the device; `scoring` and
`workers` measure it.
"""

import gc
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from raypipe.contracts.statistic import mean_by_document
from raypipe.lm.heads import Head
from raypipe.lm.plan import plan_batches
from raypipe.models.causal import open_model
from raypipe.score.forward_pass import FLOAT8, ForwardPass
from raypipe.score.statistics.influence import Influence
from raypipe.train.loop.meter import memory_bytes

from ..plain_loop import plain_losses
from ..shapes import SHAPES, heads_of, make_documents, save_model
from .waiting import busy_share

Losses = Callable[[list[np.ndarray]], np.ndarray]
"""Documents -> [n, 2]: the loss of each, intact and neutralised."""
WARM_UP, LOOKED_AT = 32, 64
"""Documents: before the clock starts, and while the device is watched."""


@dataclass(frozen=True)
class ScoringSizes:
    """What is scored, and for how long."""

    shape: str
    documents: int
    median: float
    cap: int
    """Tokens of the longest document."""
    batch_size: int
    """Documents of a batch of the padded loops."""
    token_budget: int
    seconds: float
    """That a contender is measured for, about."""


def full(shape: str) -> ScoringSizes:
    """Lengths as in a corpus of web pages."""
    return ScoringSizes(shape, 8192, 600.0, 4096, 16, 32_768, 8.0)


TINY = ScoringSizes("tiny", 48, 30.0, 128, 8, 512, 0.05)


@dataclass
class Bed:
    """One model in a folder and its documents."""

    sizes: ScoringSizes
    folder: Path
    documents: list[np.ndarray]
    device: torch.device
    first: np.ndarray | None = field(default=None)
    """Losses of the first contender: what the others' are compared with."""

    @classmethod
    def make(cls, sizes: ScoringSizes, folder: Path, *, spread: float = 0.02) -> "Bed":
        """The model with random weights, written unless a process before this one did."""
        device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        if not folder.exists():
            partial_folder = folder.with_name(f"{folder.name}.{os.getpid()}")  # a process may be killed while it writes
            save_model(
                sizes.shape,
                partial_folder,
                max_tokens=sizes.cap,
                dtype=torch.bfloat16,
                spread=spread,
                device=str(device),
            )
            partial_folder.rename(folder)
        documents = make_documents(
            sizes.documents, median=sizes.median, sigma=0.9, cap=sizes.cap, seed=0,
            vocabulary=SHAPES[sizes.shape].vocabulary,
        )  # fmt: skip
        return cls(sizes, folder, documents, device)

    @property
    def heads(self) -> tuple[Head, ...]:
        """The neutralised ones."""
        return heads_of(self.sizes.shape)


def steps(group: str, folder: Path, *, rehearse: bool) -> dict[str, Callable[[], dict[str, Any]]]:
    """The steps of this group."""
    is_small = rehearse or not torch.cuda.is_available()
    sizes = TINY if is_small else full(group.removeprefix("scoring-"))
    bed = Bed.make(sizes, folder / group)
    compiler = "inductor" if torch.cuda.is_available() else "eager"
    return {
        "plain": partial(loop, bed, batch_size=sizes.batch_size, by_length=False),
        "sorted": partial(loop, bed, batch_size=sizes.batch_size, by_length=True),
        "single": partial(loop, bed, batch_size=1, by_length=False),
        "raypipe": partial(raypipe, bed, dtype="bfloat16", compiler=None),
        "float8": partial(raypipe, bed, dtype=FLOAT8, compiler=None),
        "compiled": partial(raypipe, bed, dtype="bfloat16", compiler=compiler),
        "float8-compiled": partial(raypipe, bed, dtype=FLOAT8, compiler=compiler),
    }


def loop(bed: Bed, *, batch_size: int, by_length: bool) -> dict[str, Any]:
    """A transformers loop in bfloat16, two passes; with one document a batch nothing is padded."""
    begun = _fresh(bed)
    model = open_model(str(bed.folder)).weights(dtype="bfloat16", device=str(bed.device))
    padding = [0]

    def losses(documents: list[np.ndarray]) -> np.ndarray:
        """Of all, as `Losses`."""
        found, padding[0] = plain_losses(model, documents, bed.heads, batch_size=batch_size, by_length=by_length)
        return found

    figures = measure(bed, losses, begun)
    tokens = figures["tokens"]
    return {**figures, "padding": padding[0] / (padding[0] + tokens), **_work(bed, figures, passes=2.0)}


def raypipe(bed: Bed, *, dtype: str, compiler: str | None) -> dict[str, Any]:
    """The scorer as a worker runs it."""
    begun = _fresh(bed)
    op = scorer(bed, dtype=dtype, compiler=compiler)
    assert op.decoder is not None
    batches = [0]

    def losses(documents: list[np.ndarray]) -> np.ndarray:
        """Of all, as `Losses`."""
        assert op.decoder is not None
        op.decoder.layer_calls = 0.0
        batches[0] = len(_batches(op, documents))
        return raypipe_losses(op, documents)

    figures = measure(bed, losses, begun)
    passes = op.decoder.layer_calls / (batches[0] * op.decoder.shape.n_layers)
    return {**figures, "padding": 0.0, **_work(bed, figures, passes=passes)}


def scorer(bed: Bed, *, dtype: str, compiler: str | None) -> ForwardPass:
    """The scorer, set up on the device."""
    op = ForwardPass(
        model=str(bed.folder), statistics=(Influence(),), heads=bed.heads, max_tokens=bed.sizes.cap, dtype=dtype,
        token_budget=bed.sizes.token_budget, compiler=compiler,
    )  # fmt: skip
    op.setup(n_threads=torch.get_num_threads())
    return op


def raypipe_losses(op: ForwardPass, documents: list[np.ndarray]) -> np.ndarray:
    """[n, 2] of documents that were tokenised before."""
    losses = np.zeros((len(documents), 2))
    for rows in _batches(op, documents):
        found = op.per_token([documents[row] for row in rows])
        lengths = np.array([len(documents[row]) - 1 for row in rows])
        losses[rows] = np.stack([mean_by_document(found[name], lengths) for name in ("nll", "nll_masked")], axis=1)
    return losses


def _batches(op: ForwardPass, documents: list[np.ndarray]) -> list[np.ndarray]:
    return plan_batches(np.array([len(document) for document in documents]), budget=op.token_budget)


def measure(bed: Bed, losses: Losses, begun: float) -> dict[str, Any]:
    """Warm up, see how many documents fill the time, time these; then look at how busy the device is."""
    first = bed.documents[:WARM_UP]
    found = losses(first)
    start_up_s = time.monotonic() - begun
    rate = _tokens(first) / _seconds(bed, losses, first)
    wanted = rate * bed.sizes.seconds
    n = int(np.searchsorted(np.cumsum([len(document) for document in bed.documents]), wanted))
    documents = bed.documents[: max(n, WARM_UP)]  # lengths are drawn independently: the first are a fair sample
    seconds = _seconds(bed, losses, documents)
    bed.first = found if bed.first is None else bed.first
    return {
        "tokens_per_s": _tokens(documents) / seconds, "tokens": _tokens(documents), "documents": len(documents),
        "measured_s": seconds, "start_up_s": start_up_s, "peak_memory_gb": memory_bytes() / 1e9,
        "loss_differs": float(np.max(np.abs(found - bed.first) / bed.first)),
        **busy_share(lambda: losses(documents[:LOOKED_AT]), bed.device),
    }  # fmt: skip


def _seconds(bed: Bed, losses: Losses, documents: list[np.ndarray]) -> float:
    begun = time.perf_counter()
    losses(documents)  # ends with a copy to the host, so nothing is left in flight
    return time.perf_counter() - begun


def _tokens(documents: list[np.ndarray]) -> int:
    return sum(map(len, documents))


def _work(bed: Bed, figures: dict[str, Any], *, passes: float) -> dict[str, float]:
    """Passes through the layers, and operations a second of the model's own products, padding not among them."""
    flops = SHAPES[bed.sizes.shape].flops_per_token(passes=passes, head_passes=2)
    return {"passes": passes, "flops_per_s": figures["tokens_per_s"] * flops}


def _fresh(bed: Bed) -> float:
    """Forget the contender before; the time that this one starts at."""
    torch._dynamo.reset()
    gc.collect()
    if bed.device.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
    return time.monotonic()
