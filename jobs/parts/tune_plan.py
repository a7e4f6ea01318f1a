"""What `tune` is to do, once its settings, the job's and the space are found to fit each other."""

import dataclasses
import importlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from raypipe.run.cluster import Resources, connect
from raypipe.run.sweep import Need, Sweep, sweep
from raypipe.run.sweep_search import Asha, Goal, Optuna
from raypipe.runs.life import Life
from raypipe.runs.names import nearest
from raypipe.runs.space import Range, Space, Values
from raypipe.runs.trials import Result, Trial, TrialFiles
from raypipe.settings.nested import changed, flat

from . import settings
from .learning import flat_settings
from .pretraining import PretrainSettings
from .tune_settings import TuneSettings
from .tune_space import NOT_SEARCHED, TrainingJob, check_space
from .tune_trial import HELDOUT, JobTrial, known_metrics

RUNNING = ("save_every", "keep", "max_failures", "tensorboard")
"""Settings of a training that change no metric, beside those of the run."""
HIGHEST = ("accuracy",)
"""Metrics of which more is better."""


@dataclass(frozen=True)
class Search:
    """A search that can be run."""

    job: str
    base: TrainingJob
    """The job's settings."""
    space: dict[str, Values | Range]
    goal: Goal
    seed: int
    n_trials: int
    kind: str
    """optuna, random or grid."""
    asha: Asha | None

    @property
    def trial_identity(self) -> dict[str, Any]:
        """What can change a trial's metrics beside its own settings and seed."""
        shared = {name: value for name, value in flat_settings(self.base).items()
                  if name not in (*NOT_SEARCHED, *RUNNING, *self.space)}  # fmt: skip
        stops = {**dataclasses.asdict(self.asha), "metric": self.goal.metric} if self.asha else None
        return dict(json.loads(json.dumps({"job": self.job, **shared, "asha": stops})))

    @property
    def identity(self) -> dict[str, Any]:
        """The same of all trials together; Optuna's also depend on the space that it proposes from."""
        space = {name: dataclasses.asdict(axis) for name, axis in self.space.items()} if self.kind == "optuna" else None
        return dict(json.loads(json.dumps({**self.trial_identity, "space": space})))

    @cached_property
    def resources(self) -> Resources:
        """Of the cluster, which is joined or started."""
        return connect()

    def need(self, *, has_gpus: bool) -> Need:
        """What one trial takes."""
        gpus = self.base.training.gpus_per_worker
        return Need(cpus=self.base.training.cpus_per_worker or 1.0, gpus=float(has_gpus) if gpus is None else gpus)

    def trial(self, need: Need | None = None) -> JobTrial:
        """The function that runs a trial."""
        return JobTrial(self.job, self.base, need or self.need(has_gpus=False))


def plan_search(config: TuneSettings, space: Space) -> Search:
    """The search that tune's settings ask for; whatever is wrong with them ends here, before anything is started.

    Raises
    ------
    ValueError
        With the setting and what it must be.
    """
    base = read_base(config)
    if (workers := base.training.workers) != 1:
        raise ValueError(f"workers of {config.config} must be 1, a trial trains in one process; got {workers}.")
    found = check_space(space, base, job=config.job)
    check_metric(config, base, found)
    asha = asha_of(config, base, found) if config.scheduler == "asha" else None
    goal = Goal(config.metric, "max" if config.metric in HIGHEST else "min")
    goal = goal if config.mode == "auto" else dataclasses.replace(goal, mode=config.mode)
    seed = base.training.seed if config.seed is None else config.seed
    return Search(config.job, base, found, goal, seed, config.trials, config.search, asha)


def read_base(config: TuneSettings) -> TrainingJob:
    """The job's settings that all trials share.

    Raises
    ------
    ValueError
        If pretrain isn't told which run holds its tokens.
    """
    kind = importlib.import_module(f"..{config.job}", __package__).Config
    given = settings.read_file(kind, config.config)
    base: TrainingJob = settings.parse(
        kind, ["--config", config.config, *([] if "output" in given else ["--output", config.output])]
    )
    if isinstance(base, PretrainSettings) and base.source.read_from is None:
        if "output" not in given:
            raise ValueError(f"{config.config} must say by `output` or `read_from` which run holds the tokens.")
        base = changed(base, read_from=base.run.output)
    return changed(base, output=config.output, name=None, restart=None, yes=False, retry="nothing")


def check_metric(config: TuneSettings, base: TrainingJob, space: Space) -> None:
    """Refuse a metric that no trial gives, or that ASHA can't go by.

    Raises
    ------
    ValueError
        With the nearest.
    """
    name = config.metric.split("/")[0] if config.metric.startswith(f"{HELDOUT}/") else config.metric
    known = known_metrics(config.job, base)
    if name not in known and not {"learn", "heldout_share", "selection"} & space.keys():
        raise ValueError(f"metric must be one that the trials give, got {config.metric!r}; {nearest(name, known)}.")
    if config.scheduler == "asha" and name != HELDOUT:
        raise ValueError(f"ASHA goes by {HELDOUT}, which is measured on the way, got --metric {config.metric}.")


def asha_of(config: TuneSettings, base: TrainingJob, space: Space) -> Asha:
    """The rungs of ASHA.

    Raises
    ------
    ValueError
        If trials don't say how they are on the way, or it isn't known how long they are.
    """
    every = _highest("heldout_every", base, space)
    first, steps = config.first_steps or every, _highest("steps", base, space)
    if not every:
        raise ValueError("ASHA needs held-out losses on the way; set heldout_every in the job's settings.")
    if steps is None and isinstance(base, PretrainSettings) and base.sequences.train_tokens is not None:
        steps = base.sequences.n_steps
    if steps is None:
        raise ValueError("ASHA needs to know the last step; give `steps` in the job's settings.")
    if not every <= first < steps:
        raise ValueError(
            f"first_steps must be from heldout_every ({every}) to below the last step ({steps}), got {first}."
        )
    return Asha(int(steps), int(first), config.reduction)


def _highest(name: str, base: TrainingJob, space: Space) -> Any:
    axis = space.get(name)
    if axis is None:
        return flat(base)[name]
    return axis.high if isinstance(axis, Range) else max((value for value in axis.values if value), default=None)


def run_on_tune(
    search: Search, trials: Sequence[Trial] | None, files: TrialFiles, life: Life, *, retry: bool
) -> list[Result]:
    """How the trials ended, those of a list or those that Optuna proposes."""
    need = search.need(has_gpus=search.resources.gpus > 0)
    asked = Optuna(search.space, search.n_trials, search.seed) if trials is None else trials
    plan = Sweep(search.trial(need), files, asked, need=need, goal=search.goal, asha=search.asha, retry=retry)
    return sweep(plan, life.run, stopping=life.stopping, resources=search.resources)
