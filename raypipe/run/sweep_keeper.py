"""What happens on the driver while Tune runs trials: those that it ended are committed, and all are shown."""

import logging
from collections import Counter
from collections.abc import Callable
from threading import Event
from typing import Any

import ray.tune
from ray.tune.experiment import Trial as TuneTrial

from raypipe.run.sweep_table import Table, TrialRow
from raypipe.runs.card import now
from raypipe.runs.trials import Result, Trial, TrialFiles

log = logging.getLogger(__name__)
MAX_DEATHS = 3
"""How often a trial whose process died is started again, in one start of the sweep."""


class Keeper(ray.tune.Callback):
    """Commits the trials that Tune ended, and shows all of them.

    Ray 2.60 tells a death in the moment between two trials of a process twice, and takes the second telling for the end
    of a trial that it has just queued again; where a process can't be had back from the trial before, it drops the next
    one without a word. Neither is an end: these trials are `lost`, and whoever has the sweep gives them to Tune again.
    """

    def __init__(
        self,
        files: TrialFiles,
        metric: str | None,
        trial_of: Callable[[dict[str, Any]], Trial],
        table: Table,
        stopping: Event,
        deaths: Counter[str],
    ) -> None:
        """`deaths`, by trial, is counted on from one Tuner of a sweep to the next."""
        self._files, self._metric, self._trial_of = files, metric, trial_of
        self._table, self.stopping, self._deaths = table, stopping, deaths
        self._curves: dict[str, dict[int, dict[str, float]]] = {}
        self._waiting, self._ended, self.lost = set[str](), set[str](), list[Trial]()

    def __getstate__(self) -> dict[str, Any]:  # as the stopper's
        return {}

    def on_trial_start(self, iteration: int, trials: list[TuneTrial], trial: TuneTrial, **info: Any) -> None:
        """A trial begins, perhaps again."""
        self._waiting.discard(trial.trial_id)
        self._curves[trial.trial_id] = {}
        self._show(trial, "running")

    def on_trial_result(
        self, iteration: int, trials: list[TuneTrial], trial: TuneTrial, result: dict[str, Any], **info: Any
    ) -> None:
        """A trial reported."""
        if "point" in result:
            self._curves[trial.trial_id][int(result["step"])] = result["point"]
            self._show(trial, "running")

    def on_trial_complete(self, iteration: int, trials: list[TuneTrial], trial: TuneTrial, **info: Any) -> None:
        """A trial ended by itself, or was stopped: by the scheduler, which is its end, or with the whole sweep."""
        ours = self._trial_of(trial.config)
        self._ended.add(trial.trial_id)
        result = self._files.read(ours)
        if result is None and not self.stopping.is_set():
            curve = self._curve(trial)
            last = {name: value for name, value in curve[-1].items() if name != "step"}
            result = Result(ours, "stopped", last, curve, ended=now(), seconds=round(self._seconds(trial), 3))
            self._files.commit(result)
        if result is not None:
            self._show(trial, result.status, result)

    def on_trial_recover(self, iteration: int, trials: list[TuneTrial], trial: TuneTrial, **info: Any) -> None:
        """A trial's process died, and it is started again."""
        ours = self._trial_of(trial.config)
        log.warning("the process of a trial died, it is started again: %s", ours)
        self._deaths[ours.name({})] += 1
        self._waiting.add(trial.trial_id)
        self._show(trial, "died, waits")

    def on_trial_error(self, iteration: int, trials: list[TuneTrial], trial: TuneTrial, **info: Any) -> None:
        """A trial's process died, and Tune gave it up: rightly, unless it told the last death twice."""
        ours = self._trial_of(trial.config)
        self._deaths[ours.name({})] += trial.trial_id not in self._waiting
        self._waiting.add(trial.trial_id)
        if (n_deaths := self._deaths[ours.name({})]) > MAX_DEATHS:
            why = f"its process died {n_deaths} times; the last time: {_last_line(trial)}"
            result = Result(ours, "failed", {}, self._curve(trial), why, ended=now())
            self._ended.add(trial.trial_id)
            self._files.commit(result)
            self._show(trial, "failed", result)

    def on_experiment_end(self, trials: list[TuneTrial], **info: Any) -> None:
        """Find the trials that are lost; one that was dropped without a word has died once more."""
        for trial in [] if self.stopping.is_set() else trials:
            if trial.trial_id not in self._ended | self._waiting:
                self.on_trial_error(0, trials, trial)
            if trial.trial_id not in self._ended:
                self.lost.append(self._trial_of(trial.config))

    def _curve(self, trial: TuneTrial) -> list[dict[str, float]]:
        points = self._curves.get(trial.trial_id, {})
        return [points[step] for step in sorted(points)]

    def _seconds(self, trial: TuneTrial) -> float:
        return float((trial.last_result or {}).get("time_total_s", 0.0))

    def _show(self, trial: TuneTrial, status: str, result: Result | None = None) -> None:
        ours, curve = self._trial_of(trial.config), self._curve(trial)
        last = {**(curve[-1] if curve else {}), **(result.metrics if result else {})}
        metric = self._metric or next(iter(result.metrics if result else last), "")
        step = int(curve[-1]["step"]) if curve else None
        seconds = result.seconds if result else self._seconds(trial)
        self._table.update(ours.name({}), TrialRow(str(ours), status, step, last.get(metric), seconds))


def _last_line(trial: TuneTrial) -> str:
    error = trial.get_error()
    return (str(error).strip().splitlines() or ["no message"])[-1] if error else "no message"


class Stopper(ray.tune.Stopper):
    """Ends all trials once the job was asked to stop."""

    def __init__(self, stopping: Event) -> None:
        self._stopping = stopping

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        """Whether to stop one trial: never."""
        return False

    def stop_all(self) -> bool:
        """Whether to stop."""
        return self._stopping.is_set()

    def __getstate__(self) -> dict[str, Any]:  # Tune writes a copy that nobody reads; an event can't be written
        return {"_stopping": None}
