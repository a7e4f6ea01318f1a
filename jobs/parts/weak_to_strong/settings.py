"""Settings of weak-to-strong learning."""

from dataclasses import dataclass
from typing import Literal

from raypipe.train.weights.lora import Lora


@dataclass(frozen=True, kw_only=True)
class WeakToStrongSettings(Lora):
    """Who teaches whom, and how."""

    weak: str = "tiny"
    """Weak model: a folder, org/name[@revision], GGUF file or `sample`; or a shape from scratch (tiny, 4m ...)."""
    weak_layers: int | None = None
    """Keep only the first so many layers of the weak model's weights."""
    strong: str = "sample"
    """Strong model: folder, org/name[@revision], GGUF file, or `sample`; adapters and --probe are for it alone."""
    losses: tuple[Literal["xent", "logconf", "product"], ...] = ("xent", "logconf", "product")
    """Losses of the students: cross-entropy, auxiliary confidence, product."""
    aux_coef: float = 0.5
    """logconf: weight of the student's own predictions."""
    aux_warmup: float = 0.1
    """logconf: share of training before that weight is full."""
    alpha: float = 1.0
    """product: power of the weak labels."""
    beta: float = 1.0
    """product: power of the student's own predictions."""
    seeds: int = 5
    """So often all of it, from --seed on: other halves, new weights, other orders."""
    epochs: float = 2.0
    """Passes over a half."""
    weak_epochs: float | None = None
    """Of the weak model; None: as the strong one."""
    weak_learning_rate: float | None = None
    """Of the weak model; None: as the strong one."""
    probe: bool = False
    """Train no strong model: fit a linear probe on its mean states, computed once for all seeds and losses."""
    probe_layers: int | None = None
    """Of --probe: the states after so many layers; None: after the last."""
    probe_axes: int = 32
    """Of --probe: principal axes of the states that it sees."""
    length: int = 1024
    """Rows with more tokens, of either model, are left out."""
    batch_examples: int = 32
    """Rows of a step, all workers together."""
    micro_batch: int = 32
    """Rows that go through the model together; logconf takes its quantile over them."""
    debate: str | None = None
    """Stage with debates (see jobs.debate); weak models then also judge with them, as an ensemble over transcripts."""
    transcript_tokens: int = 512
    """Of a transcript the weak model reads so many tokens at most."""
    save_models: bool = False
    """Also write each training's model/, a transformers folder."""
