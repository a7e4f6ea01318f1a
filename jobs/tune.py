"""Search over a training job's settings, by trials that run the job.

    python -m jobs.tune --job finetune --config base.yaml --space space.yaml --trials 40 --scheduler asha --output RUN

The space maps settings to lists of values or to ranges:

    learning_rate: {low: 1.0e-5, high: 1.0e-3, log: true}
    lora_rank: [4, 16, 64]

Each trial runs the job in RUN/trials/HASH; the best settings end as RUN/best.yaml, which the job takes as --config.
"""

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from raypipe.runs import card as cards
from raypipe.runs.life import Life
from raypipe.runs.signals import Stopped
from raypipe.runs.space import draw, grid, parse_space
from raypipe.runs.stage import at_work
from raypipe.runs.trials import Result, Trial, TrialFiles, run_here

from .parts import settings
from .parts.common import RunSettings, life_of, run_job, stage_name
from .parts.idle import refuse_idle

if TYPE_CHECKING:
    from .parts.tune_plan import Search


@dataclass(frozen=True, kw_only=True)
class Config(RunSettings):
    """Settings of tune."""

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


def main(config: Config) -> int:
    """Search, or go on searching; 1 if no trial finished."""
    refuse_searches_without_effect(config)
    space = parse_space(settings.read_yaml(config.space))
    from .parts.tune_plan import plan_search

    search, stage = plan_search(config, space), stage_name("trials", config)
    with life_of(config, "tune", stages=[stage], has_shards=True) as life:
        folder = life.run / stage
        if not life.is_restarting(stage):
            cards.check_identity(stage, cards.read_card(folder), search.identity)
        life.begin()
        card: dict[str, Any] = {"stage": stage, "kind": "search", "identity": search.identity}
        with at_work(folder, card):
            files = TrialFiles(folder, search.trial_identity)
            try:
                results = run_trials(config, search, files, life)
            finally:
                ended = files.all()
                card["times"]["busy_s"] = sum(result.seconds for result in ended)
                card["counts"] = {kind: sum(result.status == kind for result in ended)
                                  for kind in ("finished", "stopped", "failed")}  # fmt: skip
        life.conclude(conclude(search, results, files, life))
    return life.status


def refuse_searches_without_effect(config: Config) -> None:
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


def listed(config: Config, search: "Search") -> list[Trial]:
    """The trials of a grid, or of a random search."""
    points = grid(search.space) if config.search == "grid" else draw(search.space, config.trials, seed=search.seed)
    return [Trial(point, search.seed) for point in points]


def run_trials(config: Config, search: "Search", files: TrialFiles, life: Life) -> list[Result]:
    """How all trials ended, those that ended before included."""
    retry = config.retry == "failed"
    if config.on == "tune":
        from .parts.tune_plan import run_on_tune

        trials = None if config.search == "optuna" else listed(config, search)
        return run_on_tune(search, trials, files, life, retry=retry)
    results = run_here(search.trial(), listed(config, search), files, metric=search.goal.metric, retry=retry,
                       stopping=life.stopping)  # fmt: skip
    if life.stopping.is_set():
        raise Stopped(f"stopped; {len(results)} trials are done, go on with the same command.")
    return results


def conclude(search: "Search", results: Sequence[Result], files: TrialFiles, life: Life) -> str | None:
    """Write best.yaml, the record of the search and the report; why there is no best, None if there is."""
    from raypipe.report import write_report

    from .parts.tune_results import RECORD, best_of, record, table_of, write_best

    for result in results:
        if result.status == "failed":
            print(f"failed: {result.trial}: {result.error}", file=sys.stderr)
    found, best = record(search, results), best_of(results, search.goal)
    files.folder.write(RECORD, json.dumps(found, indent=1).encode())
    if best is not None:
        path = write_best(life.run, search, best)
        print(table_of(found))
        print(f"Best settings: {path.removeprefix('file://')}")
    print(f"Report: {write_report(life.run).removeprefix('file://')}")
    if best is None:
        return f"none of {len(results)} trials finished; their errors are above, --retry failed runs them again."
    return None


if __name__ == "__main__":
    run_job(lambda: main(settings.parse(Config)))
