"""Learning rate by step: a pure function, so that a restart needs nothing but the step."""

import math
from dataclasses import dataclass
from typing import Literal

Decay = Literal["linear", "cosine", "1-sqrt", "exponential"]


@dataclass(frozen=True)
class Schedule:
    """Warm-up, then constant, then decay to `floor` times the peak.

    Warm-up of w steps rises as 1, 2 ... w parts of w + 1: no step is without effect, and of one step, which is what
    0.1 % of fewer than 1,500 steps is, it is half the peak for that step.

    `wsd` (warm-up, stable, decay) is the paper's: 0.1 % warm-up, 75 % stable, the rest decay; `cosine` decays from the
    end of the warm-up on; `constant` never.
    """

    schedule: Literal["wsd", "cosine", "constant"] = "wsd"
    """How the learning rate goes."""
    warmup_fraction: float = 0.001
    """Of all steps, rising in equal parts; at least one step, which alone runs at half the peak."""
    stable_fraction: float = 0.75
    """Of all steps, at the peak (wsd)."""
    decay_shape: Decay = "linear"
    """Of wsd's decay; the paper doesn't name one, linear is our default."""
    lr_floor: float = 0.0
    """Fraction of the peak that it decays to (exponential: 0.01 if 0)."""

    def __post_init__(self) -> None:
        """Check the fractions.

        Raises
        ------
        ValueError
            If one isn't in [0, 1], or they leave nothing to decay in.
        """
        for name in ("warmup_fraction", "stable_fraction", "lr_floor"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} must be in [0, 1], got {getattr(self, name)}.")
        if self.schedule == "wsd" and self.warmup_fraction + self.stable_fraction > 1:
            raise ValueError(
                f"warmup_fraction + stable_fraction must be at most 1, got "
                f"{self.warmup_fraction} + {self.stable_fraction}."
            )

    def factor(self, step: int, n_steps: int) -> float:
        """The learning rate of step 0 ... n_steps - 1, as a fraction of the peak."""
        warmup = max(1, round(self.warmup_fraction * n_steps)) if self.warmup_fraction else 0
        if step < warmup:
            return (step + 1) / (warmup + 1)
        if self.schedule == "constant":
            return 1.0
        stable = 0.0 if self.schedule == "cosine" else self.stable_fraction
        start = max(warmup, round((self.warmup_fraction + stable) * n_steps))
        if step < start:
            return 1.0
        done = (step - start + 1) / (n_steps - start + 1)  # the last step still learns
        return shape_of("cosine" if self.schedule == "cosine" else self.decay_shape, done, self.lr_floor)


def shape_of(shape: Decay, done: float, floor: float) -> float:
    """A decay from 1 (done 0) to floor (done 1)."""
    if shape == "exponential":
        return float((floor or 0.01) ** done)
    left = {"linear": 1 - done, "cosine": (1 + math.cos(math.pi * done)) / 2, "1-sqrt": 1 - math.sqrt(done)}[shape]
    return floor + (1 - floor) * left
