"""Live controls of a scorer: what influence must do on a dozen documents of the very corpus that it scores.

Source: dossier check 3 of AttentionInfluence: exactly 0 with no head neutralised, clearly lower for shuffled words,
high for a text that repeats itself. The bars are this project's, from runs of SmolLM2-135M: shuffling divided
influence by 1.6 to 3, repeated texts had 0.67 to 0.99.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from raypipe.score.forward_pass import ForwardPass
from raypipe.score.texts import score_with

MIN_OVER_SHUFFLED = 1.3
MIN_OF_REPEATED = 0.65
CHARACTERS = 400


@dataclass(frozen=True)
class Control:
    """A control's outcome."""

    control: str
    value: float
    bar: float
    passed: bool


def run_controls(op: ForwardPass, texts: Sequence[str], n_threads: int, seed: int) -> list[dict[str, Any]]:
    """The controls on the beginnings of some texts, each of at least CHARACTERS; loads the model."""
    op.setup(n_threads=n_threads)
    rng = np.random.default_rng(seed)
    pieces = [text[:CHARACTERS] for text in texts]
    plain = float(np.median(_influence(op, pieces)))
    shuffled = float(np.median(_influence(op, [" ".join(rng.permutation(piece.split())) for piece in pieces])))
    repeated = float(np.median(_influence(op, [f"{piece}\n{piece}" for piece in pieces])))
    kept, op.heads = op.heads, ()
    zero = float(np.abs(_influence(op, pieces)).max())
    op.heads = kept
    ratio = plain / max(shuffled, 1e-9)
    found = [
        Control("largest influence with no head neutralised, must be 0", zero, 0.0, zero == 0.0),
        Control("influence over that of the same words shuffled", ratio, MIN_OVER_SHUFFLED, ratio >= MIN_OVER_SHUFFLED),
        Control("influence of texts that repeat themselves", repeated, MIN_OF_REPEATED, repeated >= MIN_OF_REPEATED),
    ]
    return [asdict(control) for control in found]


def _influence(op: ForwardPass, texts: Sequence[str]) -> np.ndarray:
    scored: np.ndarray = score_with(op, texts)["influence"].to_numpy()
    return scored
