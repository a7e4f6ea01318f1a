"""The trials of an ablation run side by side or one after the other, and what they came to written down."""

import json
from collections.abc import Sequence

from raypipe.report import write_report
from raypipe.run.sweep import Sweep, sweep
from raypipe.run.sweep_search import Goal
from raypipe.runs.life import Life
from raypipe.runs.trials import Result, TrialFiles, none_finished, run_all_here, show_failed

from .ablate_results import RECORD, record, table_of
from .ablate_settings import AblateSettings
from .ablate_work import Ablation


def run_trials(config: AblateSettings, work: Ablation, files: TrialFiles, life: Life) -> list[Result]:
    """How all trials ended, those that ended before included."""
    retry = config.run.retry == "failed"
    if config.on == "tune":
        need = work.need()
        plan = Sweep(work.trial(need), files, work.trials, need=need, goal=Goal(config.metric), retry=retry)
        return sweep(plan, life.run, stopping=life.stopping)
    function = work.trial(work.need(has_gpus=False))
    return run_all_here(function, work.trials, files, metric=config.metric, retry=retry, stopping=life.stopping)


def conclude(work: Ablation, results: Sequence[Result], files: TrialFiles, life: Life) -> None:
    """Write the record and the report, and print the verdict; why there is none, if there is none."""
    show_failed(results)
    found = record(work, results, run=life.run)
    files.folder.write(RECORD, json.dumps(found, indent=1).encode())
    print(table_of(found))
    life.conclude(none_finished(results))  # before the report, which says so
    print(f"Report: {write_report(life.run).removeprefix('file://')}")
