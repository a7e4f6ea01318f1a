"""The models of weak-to-strong learning: who learns what from whom."""

from dataclasses import dataclass
from typing import Literal

from raypipe.losses.soft_labels import PLAIN, CrossEntropy, SoftLoss

from .settings import WeakToStrongSettings


@dataclass(frozen=True)
class Arm:
    """A model, what it learns from, and what it sees."""

    name: str
    """Of its folder."""
    role: Literal["weak", "strong"]
    loss: SoftLoss = PLAIN
    teachers: tuple[str, ...] = ()
    """Arms whose mean predictions are its labels, of the second half; none: it learns the truth of the first."""
    has_shuffled_labels: bool = False
    """Each row gets another row's label: a control."""
    transcript: int | None = None
    """Seed of the debates that follow its texts; such an arm never sees a test row."""
    has_shuffled_transcripts: bool = False
    """Each text is followed by another text's debate: a control."""
    draw: int = 0
    """Trainings that differ by nothing else have other draws of new weights and order."""


def seeds_of(config: WeakToStrongSettings) -> range:
    """The seeds of the run."""
    return range(config.training.seed, config.training.seed + config.seeds)


def arms_of(config: WeakToStrongSettings, n_transcripts: int) -> list[Arm]:
    """The trainings of a seed in their order."""
    students = [Arm(f"strong-{name}", "strong", loss_of(config, name), ("weak",)) for name in config.losses]
    plain = [
        Arm("weak", "weak"),
        Arm("ceiling", "strong"),
        *students,
        Arm("strong-shuffled-labels", "strong", teachers=("weak",), has_shuffled_labels=True),
    ]
    return [*plain, *debate_arms(n_transcripts)] if n_transcripts else plain


def debate_arms(n_transcripts: int) -> list[Arm]:
    """Judges of debates, their controls, and the students that they teach, who see no debate."""
    judges = [Arm(f"judge-{m}", "weak", transcript=m) for m in range(1, n_transcripts + 1)]
    again = [Arm(f"judge-1-draw-{d}", "weak", transcript=1, draw=d) for d in range(1, n_transcripts)]
    ensemble, repeats = tuple(arm.name for arm in judges), ("judge-1", *(arm.name for arm in again))
    return [
        *judges,
        *again,
        Arm("judge-shuffled", "weak", transcript=1, has_shuffled_transcripts=True),
        Arm("strong-debate-single", "strong", teachers=("judge-1",)),
        Arm("strong-debate-draws", "strong", teachers=repeats),
        Arm("strong-debate-ensemble", "strong", teachers=ensemble),
    ]


def loss_of(config: WeakToStrongSettings, name: str) -> SoftLoss:
    """A student's loss with its settings."""
    if name == "logconf":
        return config.confidence
    return config.product if name == "product" else CrossEntropy()
