"""Where a sweep's trials come from, and which are stopped early: Tune's searchers and its ASHA, told of the past."""

from collections.abc import Callable
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any, Literal

import ray.tune
from ray.tune.schedulers import ASHAScheduler, FIFOScheduler, TrialScheduler
from ray.tune.search.optuna import OptunaSearch

from raypipe.runs.space import Range, Space
from raypipe.runs.trials import Result, Trial


@dataclass(frozen=True)
class Goal:
    """What trials are judged by."""

    metric: str
    mode: Literal["min", "max"] = "min"


@dataclass(frozen=True)
class Optuna:
    """Trials that Optuna's TPE proposes, from how earlier ones ended."""

    space: Space
    n_trials: int
    seed: int = 0


@dataclass(frozen=True)
class Asha:
    """Asynchronous successive halving: at each rung a trial goes on only if it is among the best 1 of `reduction`.

    Source: L. Li et al., A System for Massively Parallel Hyperparameter Tuning, MLSys 2020.
    """

    max_steps: int
    first_steps: int
    """The lowest rung."""
    reduction: int = 3


@dataclass(frozen=True)
class Searching:
    """What Tune is given of a searcher."""

    trial_of: Callable[[dict[str, Any]], Trial]
    """From Tune's idea of a trial to ours."""
    tune: dict[str, Any]
    """Of its TuneConfig."""
    space: dict[str, Any] | None = None


def listed(trials: list[Trial]) -> Searching:
    """These trials, in order."""
    return Searching(_Listed(trials), {}, {"index": ray.tune.grid_search(list(range(len(trials))))})


def proposed(optuna: Optuna, goal: Goal, left: int, before: list[Result]) -> Searching:
    """So many trials more, by Optuna."""
    return Searching(_Proposed(optuna), {"search_alg": search(optuna, goal, before), "num_samples": left})


@dataclass(frozen=True)
class _Listed:
    """Tune's trials are numbers of a list."""

    trials: list[Trial]

    def __call__(self, config: dict[str, Any]) -> Trial:
        return self.trials[int(config["index"])]


@dataclass(frozen=True)
class _Proposed:
    """Tune's trials are points of a space; of listed values the index, as Optuna takes plain values only."""

    optuna: Optuna

    def __call__(self, config: dict[str, Any]) -> Trial:
        space = self.optuna.space
        point = {
            name: config[name] if isinstance(axis, Range) else axis.values[config[name]] for name, axis in space.items()
        }
        return Trial(point, self.optuna.seed)


def search(plan: Optuna, goal: Goal, before: list[Result]) -> OptunaSearch:
    """Optuna, told of the trials that ended before; another seed then, or it would propose its first ones again."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    space = distributions(plan.space)
    found = OptunaSearch(space, metric=goal.metric, mode=goal.mode, seed=plan.seed + len(before))
    for result in before:
        if result.status != "failed":
            found.add_evaluated_point(point_of(plan.space, result.trial), result.metrics[goal.metric])
    return found


def distributions(space: Space) -> dict[str, Any]:
    """A space as Optuna has it; listed values by their index."""
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    found: dict[str, Any] = {}
    for name, axis in space.items():
        if not isinstance(axis, Range):
            found[name] = CategoricalDistribution(range(len(axis.values)))
        elif axis.whole:
            found[name] = IntDistribution(int(axis.low), int(axis.high), log=axis.log)
        else:
            found[name] = FloatDistribution(axis.low, axis.high, log=axis.log)
    return found


def point_of(space: Space, trial: Trial) -> dict[str, Any]:
    """A trial's settings as Optuna has them."""
    point = {}
    for name, axis in space.items():
        value = trial.settings[name]
        point[name] = value if isinstance(axis, Range) else Trial({"": axis.values}).settings[""].index(value)
    return point


def scheduler(asha: Asha | None, goal: Goal | None, before: list[Result]) -> TrialScheduler:
    """Tune's scheduler, its rungs filled with the curves of trials that ended before."""
    if asha is None or goal is None:
        return FIFOScheduler()
    found = ASHAScheduler(
        time_attr="step", metric=goal.metric, mode=goal.mode, max_t=asha.max_steps,
        grace_period=asha.first_steps, reduction_factor=asha.reduction,
        stop_last_trials=False,  # who reaches the last step ends by itself, with its last metrics
    )  # fmt: skip
    for result in before:
        known: Any = SimpleNamespace(trial_id=result.trial.name({}))
        found.on_trial_add(None, known)
        for point in result.curve:
            found.on_trial_result(None, known, point)
    return found
