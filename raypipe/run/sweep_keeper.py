"""What happens on the driver while Tune runs trials: those that it ended are committed, and all are shown."""

import logging
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
"""How often a trial whose process died is started again."""


class Keeper(ray.tune.Callback):
    """Commits the trials that Tune ended, and shows all of them."""

    def __init__(
        self,
        files: TrialFiles,
        metric: str | None,
        trial_of: Callable[[dict[str, Any]], Trial],
        table: Table,
        stopping: Event,
    ) -> None:
        self._files, self._metric, self._trial_of = files, metric, trial_of
        self._table, self._stopping = table, stopping
        self._curves: dict[str, dict[int, dict[str, float]]] = {}

    def __getstate__(self) -> dict[str, Any]:  # as the stopper's
        return {}

    def on_trial_start(self, iteration: int, trials: list[TuneTrial], trial: TuneTrial, **info: Any) -> None:
        """A trial begins, perhaps again."""
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
        result = self._files.read(ours)
        if result is None and not self._stopping.is_set():
            curve = self._curve(trial)
            last = {name: value for name, value in curve[-1].items() if name != "step"}
            result = Result(ours, "stopped", last, curve, ended=now(), seconds=round(self._seconds(trial), 3))
            self._files.commit(result)
        if result is not None:
            self._show(trial, result.status, result)

    def on_trial_recover(self, iteration: int, trials: list[TuneTrial], trial: TuneTrial, **info: Any) -> None:
        """A trial's process died, and it is started again."""
        log.warning("the process of a trial died, it is started again: %s", self._trial_of(trial.config))
        self._show(trial, "died, waits")

    def on_trial_error(self, iteration: int, trials: list[TuneTrial], trial: TuneTrial, **info: Any) -> None:
        """A trial's process died for good."""
        ours = self._trial_of(trial.config)
        why = f"its process died {MAX_DEATHS + 1} times; the last time: {_last_line(trial)}"
        result = Result(ours, "failed", {}, self._curve(trial), why, ended=now())
        self._files.commit(result)
        self._show(trial, "failed", result)

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
        self._table.update(trial.trial_id, TrialRow(str(ours), status, step, last.get(metric), seconds))


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
