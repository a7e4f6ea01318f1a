"""Settings of weak-to-strong learning."""

from dataclasses import dataclass, field
from typing import Literal

from raypipe.losses.soft_labels import Confidence, Product
from raypipe.settings.identity import BY_CONTENT, RUNNING
from raypipe.storage.folder import Folder
from raypipe.train.weights.lora import Lora

from ..binary_data import BinarySettings
from ..common import RunSettings
from ..training import TrainSettings


@dataclass(frozen=True, kw_only=True)
class WeakToStrongSettings:
    """Who teaches whom, and how. What differs between trainings counts by what it makes of each."""

    weak: str = field(default="tiny", metadata=BY_CONTENT)
    """Weak model: a folder, org/name[@revision], GGUF file or `sample`; or a shape from scratch (tiny, 4m ...)."""
    weak_layers: int | None = field(default=None, metadata=BY_CONTENT)
    """Keep only the first so many layers of the weak model's weights."""
    strong: str = field(default="sample", metadata=BY_CONTENT)
    """Strong model: folder, org/name[@revision], GGUF file, or `sample`; adapters and --probe are for it alone."""
    losses: tuple[Literal["xent", "logconf", "product"], ...] = field(
        default=("xent", "logconf", "product"), metadata=BY_CONTENT
    )
    """Losses of the students: cross-entropy, auxiliary confidence, product."""
    seeds: int = field(default=5, metadata=RUNNING)
    """So often all of it, from --seed on: other halves, new weights, other orders."""
    epochs: float = field(default=2.0, metadata=BY_CONTENT)
    """Passes over a half."""
    weak_epochs: float | None = field(default=None, metadata=BY_CONTENT)
    """Of the weak model; None: as the strong one."""
    weak_learning_rate: float | None = field(default=None, metadata=BY_CONTENT)
    """Of the weak model; None: as the strong one."""
    probe: bool = False
    """Train no strong model: fit a linear probe on its mean states, computed once for all seeds and losses."""
    probe_layers: int | None = field(default=None, metadata=BY_CONTENT)
    """Of --probe: the states after so many layers; None: after the last."""
    probe_axes: int = field(default=32, metadata=BY_CONTENT)
    """Of --probe: principal axes of the states that it sees."""
    length: int = 1024
    """Rows with more tokens, of either model, are left out."""
    batch_examples: int = 32
    """Rows of a step, all workers together."""
    micro_batch: int = field(default=32, metadata=RUNNING)
    """Rows that go through the model together; logconf takes its quantile over them."""
    debate: str | None = field(default=None, metadata=BY_CONTENT)
    """Stage with debates (see jobs.debate); weak models then also judge with them, as an ensemble over transcripts."""
    transcript_tokens: int = field(default=512, metadata=BY_CONTENT)
    """Of a transcript the weak model reads so many tokens at most."""
    save_models: bool = field(default=False, metadata=RUNNING)
    """Also write each training's model/, a transformers folder."""
    confidence: Confidence = field(default=Confidence(), metadata=BY_CONTENT)
    product: Product = field(default=Product(), metadata=BY_CONTENT)
    lora: Lora = Lora()
    rows: BinarySettings = field(metadata=BY_CONTENT)
    training: TrainSettings = field(default=TrainSettings(), metadata=BY_CONTENT)
    run: RunSettings = field(metadata=RUNNING)

    @property
    def debates(self) -> Folder:
        """The stage of the debates, for who reads them."""
        assert self.debate is not None
        return Folder(self.run.output) / self.debate
