"""Settings of a search, and which of them don't go together."""

from dataclasses import dataclass
from typing import Literal

from .common import RunSettings
from .idle import refuse_idle


@dataclass(frozen=True, kw_only=True)
class TuneSettings(RunSettings):
    """What is searched, by what, and how long."""

    job: Literal["finetune", "pretrain"]
    """The training job."""
    config: str
    """YAML file of the job's settings that all trials share; pretrain's `output` there is the run of its tokens."""
    space: str
    """YAML file of the settings to search over: lists of values, or ranges of low, high and perhaps log."""
    metric: str = "heldout_loss"
    """What trials are judged by: heldout_loss, heldout_loss/DOMAIN, loss, accuracy or mean_absolute_error."""
    mode: Literal["auto", "min", "max"] = "auto"
    """Which end of the metric is good; auto: the highest accuracy, the lowest of all else."""
    search: Literal["optuna", "random", "grid"] = "optuna"
    """optuna: proposed by TPE from how earlier trials ended. grid: every combination of listed values."""
    trials: int = 20
    """Of optuna and random: how many; raised later, the same command adds some."""
    scheduler: Literal["none", "asha"] = "none"
    """asha: at each rung (--first-steps, then times --reduction) only the best trials go on."""
    first_steps: int | None = None
    """The steps of ASHA's lowest rung; None: the base's heldout_every."""
    reduction: int = 3
    """Of ASHA: one in so many trials goes on from a rung."""
    seed: int | None = None
    """Of the search and of every trial; None: the base's."""
    on: Literal["tune", "here"] = "tune"
    """tune: trials side by side on Ray Tune. here: one after the other in this process."""


def refuse_searches_without_effect(config: TuneSettings) -> None:
    """Refuse settings that the kind of search doesn't look at, and searches that need Tune without it.

    Raises
    ------
    ValueError
        With their names.
    """
    if config.search == "grid":
        refuse_idle(config, ["trials"], because="with --search grid")
    elif config.trials < 1:
        raise ValueError(f"trials must be at least 1, got {config.trials}.")
    if config.scheduler == "none":
        refuse_idle(config, ["first_steps", "reduction"], because="without --scheduler asha")
    elif config.reduction < 2:
        raise ValueError(f"reduction must be at least 2, got {config.reduction}.")
    if config.on == "here" and (config.search == "optuna" or config.scheduler == "asha"):
        raise ValueError("--on here runs listed trials to their end; use --search random or grid without ASHA.")
