"""How long a training is; knows no torch, so that jobs can plan without it."""

from dataclasses import dataclass

from raypipe.train.loop.schedule import Schedule


@dataclass(frozen=True)
class TrainingPlan:
    """How long, and what happens when."""

    n_steps: int
    schedule: Schedule
    seed: int = 0
    save_every: int = 500
    """Steps between checkpoints."""
    heldout_every: int = 0
    """Steps between measurements of held-out rows; 0: at the end only."""
