"""A sweep of trials on Ray Tune: committed trials are all its state, so it goes on after any kill and repeats none.

Tune places trials, starts dead ones again and carries what they report to searcher and scheduler. What it writes of its
own is thrown away at the end and never read: searcher and scheduler are told anew of the trials that ended before.
Trials that it gave up too early (Ray 2.60 does, where a process dies between two trials) are given to it once more.
"""

import logging
import math
import os
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Event
from typing import Any

import ray.tune
from ray.tune.schedulers import TrialScheduler

from raypipe.run.cluster import Node, Resources, connect
from raypipe.run.exits import end_in_time
from raypipe.run.local import READERS_BESIDE
from raypipe.run.sweep_keeper import MAX_DEATHS, Keeper, Stopper
from raypipe.run.sweep_search import Asha, Goal, Optuna, Searching, listed, proposed, scheduler
from raypipe.run.sweep_table import Table
from raypipe.runs.signals import Stopped
from raypipe.runs.trials import Metrics, Result, Trial, TrialFiles, TrialFunction, run_trial
from raypipe.storage.folder import Folder

log = logging.getLogger(__name__)
# Tune's own handlers and files would be in the way: signals are the job's, curves are in the trials' files
ENVIRONMENT = {
    "TUNE_DISABLE_SIGINT_HANDLER": "1",
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "RAY_CHDIR_TO_TRIAL_DIR": "0",
    "RAY_AIR_NEW_OUTPUT": "0",
    "TUNE_WARN_EXCESSIVE_EXPERIMENT_CHECKPOINT_SYNC_THRESHOLD_S": "0",
}
RELEASED_IN_S = "60"
"""A trial that was stopped may take so long to leave its process, which the next one then takes over; Tune's 2 s lose
that next one where the machine is busy."""


@dataclass(frozen=True)
class Need:
    """What one trial takes."""

    cpus: float = 1.0
    """Of each of its workers."""
    gpus: float = 0.0
    workers: int = 1
    """Several: the trial's function only starts them, through Ray Train, and waits."""

    def __str__(self) -> str:
        each = f"{self.cpus:g} CPUs and {self.gpus:g} GPUs"
        return each if self.workers == 1 else f"{self.workers} workers of {each}"


@dataclass(frozen=True)
class Sweep:
    """What is run, and with what."""

    function: TrialFunction
    files: TrialFiles
    trials: Sequence[Trial] | Optuna
    need: Need = Need()
    goal: Goal | None = None
    """None where nothing is compared while trials run."""
    asha: Asha | None = None
    retry: bool = False
    """Run again what failed before."""

    def __post_init__(self) -> None:
        """Refuse what can't be run."""
        n = self.trials.n_trials if isinstance(self.trials, Optuna) else len(self.trials)
        if n < 1:
            raise ValueError("a sweep needs at least one trial, got none.")
        if self.goal is None and (self.asha is not None or isinstance(self.trials, Optuna)):
            raise ValueError("ASHA and Optuna need a metric to go by, got none.")

    @property
    def metric(self) -> str | None:
        """What every trial must give; None: nothing in particular."""
        return self.goal.metric if self.goal else None


def max_concurrent(need: Need, resources: Resources) -> int:
    """Trials that the cluster has room for at once.

    Raises
    ------
    ValueError
        If it hasn't for one.
    """
    slots = sum(_room(need, node) for node in resources.nodes)
    if slots < need.workers:
        raise ValueError(
            f"a trial needs {need}, but of such workers {slots} fit on the machines of the cluster ({resources}); "
            "lower what a trial needs, or start a larger cluster."
        )
    return slots // need.workers


def _room(need: Need, node: Node) -> int:
    """Workers on one machine, with a little left beside them where there is more than one."""
    beside = Node(max(0.0, node.cpus - READERS_BESIDE), node.gpus)
    return max(beside.fits(cpus=need.cpus, gpus=need.gpus), min(1, node.fits(cpus=need.cpus, gpus=need.gpus)))


def sweep(plan: Sweep, run: Folder, *, stopping: Event, resources: Resources | None = None) -> list[Result]:
    """How every trial ended, in order (Optuna's: as the files lie); those that ended before are not run again.

    Raises
    ------
    ValueError
        If a trial needs more than the cluster has.
    Stopped
        If `stopping` was set.
    """
    left, before = _left(plan)
    if not left:
        return _results(plan)
    n_concurrent = max_concurrent(plan.need, resources or connect())
    log.info("%d trials, %d at a time", left, min(left, n_concurrent))
    with Table(run, before, left) as table, _tune_environment():
        searching, deaths = _searching(plan, left, before), Counter[str]()
        while True:
            keeper = Keeper(plan.files, plan.metric, searching.trial_of, table, stopping, deaths)
            _run_all(plan, run, searching, keeper, scheduler(plan.asha, plan.goal, before), n_concurrent)
            if stopping.is_set() or not keeper.lost:
                break
            searching, before = listed(keeper.lost), _results(plan)
    if stopping.is_set():
        raise Stopped(f"stopped; {len(plan.files.all())} trials are done, go on with the same command.")
    return _results(plan)


def _run_all(
    plan: Sweep, run: Folder, searching: Searching, keeper: Keeper, told: TrialScheduler, n_concurrent: int
) -> None:
    """Have Tune run the trials, each to its end or until Tune gives it up."""
    storage = run / "tune"
    try:
        ray.tune.Tuner(
            ray.tune.with_resources(_trainable(plan, searching.trial_of), _placement(plan.need)),
            tune_config=ray.tune.TuneConfig(
                max_concurrent_trials=n_concurrent, scheduler=told,
                reuse_actors=True, trial_dirname_creator=lambda trial: trial.trial_id,
                **searching.tune,
            ),
            param_space=searching.space,
            run_config=ray.tune.RunConfig(
                name=f"attempt-{time.time_ns()}", storage_path=storage.uri, verbose=0,
                failure_config=ray.tune.FailureConfig(max_failures=MAX_DEATHS),
                callbacks=[keeper], stop=Stopper(keeper.stopping),
            ),
        ).fit()  # fmt: skip
    finally:
        _throw_away(storage)


def _left(plan: Sweep) -> tuple[int, list[Result]]:
    """How many trials are to be run, and how the others ended."""
    if isinstance(plan.trials, Optuna):
        ended = [result for result in plan.files.all() if not (plan.retry and result.status == "failed")]
        return max(0, plan.trials.n_trials - len(ended)), ended
    found = [plan.files.read(trial) for trial in plan.trials]
    ended = [result for result in found if result and not (plan.retry and result.status == "failed")]
    return len(plan.trials) - len(ended), ended


def _results(plan: Sweep) -> list[Result]:
    if isinstance(plan.trials, Optuna):
        return plan.files.all()
    return [result for trial in plan.trials if (result := plan.files.read(trial))]


def _searching(plan: Sweep, left: int, before: list[Result]) -> Searching:
    if isinstance(plan.trials, Optuna):
        assert plan.goal is not None
        return proposed(plan.trials, plan.goal, left, before)
    done = {result.trial.name({}) for result in before}
    return listed([trial for trial in plan.trials if trial.name({}) not in done])


def _placement(need: Need) -> dict[str, float]:
    """What Tune reserves: of a trial with workers of its own nearly nothing, they reserve for themselves."""
    if need.workers > 1:
        return {"CPU": 0.01}
    return {"CPU": need.cpus, **({"GPU": need.gpus} if need.gpus else {})}


def _trainable(plan: Sweep, trial_of: Callable[[dict[str, Any]], Trial]) -> Callable[[dict[str, Any]], dict[str, Any]]:
    """What Tune calls on a worker."""
    function, files, retry = plan.function, plan.files, plan.retry
    metric = plan.metric

    def trainable(config: dict[str, Any]) -> dict[str, Any]:
        """Run a trial; what it is judged by, at its end."""
        end_in_time()
        os.environ.setdefault("TUNE_FUNCTION_THREAD_TIMEOUT_S", RELEASED_IN_S)

        def on_report(step: int, metrics: Metrics) -> None:
            """Tell Tune, which may stop the trial here: then this doesn't return."""
            if metric is None or metric in metrics:
                ray.tune.report({**metrics, "step": step, "point": {"step": step, **metrics}})

        result = run_trial(function, trial_of(config), files, metric=metric, retry=retry, on_report=on_report)
        return {"ended": result.status, **({metric: result.metrics.get(metric, math.nan)} if metric else {})}

    return trainable


@contextmanager
def _tune_environment() -> Iterator[None]:
    before = {name: os.environ.get(name) for name in ENVIRONMENT}
    os.environ.update(ENVIRONMENT)
    levels = {name: logging.getLogger(name).level for name in ("ray.tune", "ray.train")}
    for name in levels:
        logging.getLogger(name).setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        for name, level in levels.items():
            logging.getLogger(name).setLevel(level)
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})


def _throw_away(storage: Folder) -> None:
    """Delete what Tune wrote: nothing of it is ever read."""
    for entry in storage.files(recursive=True):
        storage.delete(entry.path)
