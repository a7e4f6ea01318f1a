"""Losses of a tiny model on the device against a plain transformers loop on the CPU in float32."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from raypipe.models.causal import open_model

from ..plain_loop import plain_losses
from .scoring import Bed, ScoringSizes, raypipe_losses, scorer

SPREAD = 0.1
"""Deviation of the weights: large enough that documents differ in their losses, and heads matter."""
LENGTHS = ScoringSizes(shape="tiny", documents=32, median=80, cap=512, batch_size=16, token_budget=2048, seconds=0.0)
BARS = {"float32": 1e-4, "bfloat16": 3e-2, "float8": 0.2}
"""The largest relative difference of a document's loss that is borne."""


def steps(group: str, folder: Path, *, rehearse: bool) -> dict[str, Callable[[], dict[str, Any]]]:
    """The steps of this group."""
    bed = Bed.make(LENGTHS, folder / "losses", spread=SPREAD)
    return {dtype: partial(compare, bed, dtype) for dtype in BARS}


def compare(bed: Bed, dtype: str) -> dict[str, Any]:
    """How far a document's two losses, and the order by influence, are from those on the CPU.

    Raises
    ------
    ValueError
        If a loss is further off than the number format explains.
    """
    expected = _expected(bed)
    op = scorer(bed, dtype=dtype, compiler=None)
    found = raypipe_losses(op, bed.documents)
    error = np.abs(found - expected) / expected
    result = {
        "largest_error": float(error.max()), "median_error": float(np.median(error)), "bar": BARS[dtype],
        "influence_rank_correlation": _rank_correlation(_influence(found), _influence(expected)),
        "device": str(op.decoder.device if op.decoder else ""), "documents": len(found),
    }  # fmt: skip
    if not error.max() <= BARS[dtype]:
        raise ValueError(f"losses in {dtype} must be within {BARS[dtype]} of the CPU's, got {result}.")
    return result


def _expected(bed: Bed) -> np.ndarray:
    model = open_model(str(bed.folder)).weights(dtype="float32", device="cpu")
    losses, _ = plain_losses(model, bed.documents, bed.heads, batch_size=8, by_length=True)
    return losses


def _influence(losses: np.ndarray) -> np.ndarray:
    return np.asarray((losses[:, 1] - losses[:, 0]) / losses[:, 0])


def _rank_correlation(x: np.ndarray, y: np.ndarray) -> float:
    """Spearman's, without ties: SciPy isn't at hand."""
    ranks = [np.argsort(np.argsort(values)).astype(float) for values in (x, y)]
    return float(np.corrcoef(ranks[0], ranks[1])[0, 1])
