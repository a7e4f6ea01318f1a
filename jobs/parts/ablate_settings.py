"""Settings of ablate beside those of pretrain: which selections are compared, and how."""

from dataclasses import dataclass
from typing import Literal

from raypipe.select.rivals import Selector
from raypipe.select.selection import Regressor

from .pretraining import PretrainSettings


@dataclass(frozen=True, kw_only=True)
class AblateSettings(PretrainSettings):
    """Those of pretrain that all trials share; which selections are compared, and how."""

    selectors: tuple[Selector, ...] = ("influence",)
    """Beside random and full, which are always run."""
    scores: tuple[str, ...] = ("scores",)
    """Stages of scores: of several proxies, shares of heads, or random heads of the same layers."""
    score: str = "influence"
    """Column of the scores that influence and adjusted rank by."""
    shares: tuple[float, ...] = (0.2,)
    """Of each domain; every selection takes as many tokens as the best share by the first scores holds."""
    share_of: Literal["documents", "tokens"] = "documents"
    """What the share is a fraction of."""
    adjust: tuple[Regressor, ...] = ("loss", "length")
    """Of the selector adjusted: what the score is ranked beyond."""
    mix: Literal["upsample", "keep"] = "upsample"
    """Train on the full corpus plus the selected rows once more (the paper's), or on the selected rows only."""
    extra_copies: float = 1.0
    """For upsample: how many further times a selected row is seen."""
    min_tokens: int = 2
    """Rows with fewer scored tokens are not eligible."""
    min_domain_rows: int = 100
    """Domains with fewer eligible rows are ranked together."""
    leave_out: str | None = None
    """Stage of the run whose skipped rows no arm sees, as decontamination; they are known by their text."""
    holdout: float = 0.05
    """Fraction of texts that no arm sees and all are judged on."""
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
