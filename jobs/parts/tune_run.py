"""The trials of a search, run to their ends: on Ray Tune, or one after the other here; and what is said of them."""

import json
from collections.abc import Sequence

from raypipe.report import write_report
from raypipe.runs.life import Life
from raypipe.runs.space import draw, grid
from raypipe.runs.trials import Result, Trial, TrialFiles, none_finished, run_all_here, show_failed

from .tune_plan import Search, run_on_tune
from .tune_results import RECORD, best_of, record, table_of, write_best
from .tune_settings import TuneSettings


def listed(config: TuneSettings, search: Search) -> list[Trial]:
    """The trials of a grid, or of a random search."""
    points = grid(search.space) if config.search == "grid" else draw(search.space, config.trials, seed=search.seed)
    return [Trial(point, search.seed) for point in points]


def run_trials(config: TuneSettings, search: Search, files: TrialFiles, life: Life) -> list[Result]:
    """How all trials ended, those that ended before included."""
    retry = config.retry == "failed"
    if config.on == "tune":
        trials = None if config.search == "optuna" else listed(config, search)
        return run_on_tune(search, trials, files, life, retry=retry)
    return run_all_here(search.trial(), listed(config, search), files, metric=search.goal.metric, retry=retry,
                        stopping=life.stopping)  # fmt: skip


def conclude(search: Search, results: Sequence[Result], files: TrialFiles, life: Life) -> None:
    """Write best.yaml, the record of the search and the report; why there is no best, if there is none."""
    show_failed(results)
    found, best = record(search, results), best_of(results, search.goal)
    files.folder.write(RECORD, json.dumps(found, indent=1).encode())
    if best is not None:
        path = write_best(life.run, search, best)
        print(table_of(found))
        print(f"Best settings: {path.removeprefix('file://')}")
    life.conclude(none_finished(results))  # before the report, which says so
    print(f"Report: {write_report(life.run).removeprefix('file://')}")
