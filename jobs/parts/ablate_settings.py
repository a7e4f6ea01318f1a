"""Settings of ablate beside those of pretrain: which selections are compared, and how."""

from dataclasses import dataclass
from typing import Literal

from raypipe.select.eligibility import Eligibility
from raypipe.select.ranking.arms import Weighing
from raypipe.select.ranking.ranks import Unit
from raypipe.select.rivals import Selector
from raypipe.select.rows import Regressor

from .pretraining import PretrainSettings


@dataclass(frozen=True, kw_only=True)
class AblateSettings(PretrainSettings):
    """Those of pretrain that all trials share; which selections are compared, and how."""

    selectors: tuple[Selector, ...] = ("influence",)
    """Beside random and full, which are always run."""
    scores: tuple[str, ...] = ("scores",)
    """Stages of scores: of several proxies, shares of heads, or random heads of the same layers."""
    eligibility: Eligibility = Eligibility(score="influence", holdout=0.05)  # more texts to judge by than a run keeps
    shares: tuple[float, ...] = (0.2,)
    """Of each domain; every selection takes as many tokens as the best share by the first scores holds."""
    share_of: Unit = "documents"
    """What the share is a fraction of."""
    adjust: tuple[Regressor, ...] = ("loss", "length")
    """Of the selector adjusted: what the score is ranked beyond."""
    weighing: Weighing = Weighing()
    leave_out: str | None = None
    """Stage of the run whose skipped rows no arm sees, as decontamination; they are known by their text."""
    split_seed: int = 0
    """Of the held-out texts and of ties; the seeds of trials are --seed and those that follow it."""
    seeds: int = 3
    """Trials of each arm; raised later, the same command adds some."""
    metric: str = "heldout_loss"
    """What arms are judged by: heldout_loss, domain_mean (each domain counts once), or heldout_loss/DOMAIN."""
    max_passes: float = 4.0
    """An arm that would go through its tokens more often is refused."""
    plan: bool = False
    """Only say what the trials would take; reads no data and writes nothing."""
    flops_per_s: float | None = None
    """For --plan: what a device reaches in training; None: measured here, for some seconds."""
    on: Literal["tune", "here"] = "tune"
    """tune: trials side by side on Ray Tune. here: one after the other in this process."""
