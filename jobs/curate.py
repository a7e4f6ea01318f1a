"""The main job: score a corpus by influence, select from it, report: python -m jobs.curate --config RECIPE."""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from threading import Event

from rich.console import Console

from jobs import settings
from jobs.common import note_run, run_job
from jobs.score_corpus import STAGE, score
from jobs.score_corpus import Config as ScoreConfig
from jobs.select_corpus import part
from raypipe.report import gather_numbers, terminal, write_report
from raypipe.run.lock import Lock
from raypipe.run.signals import orderly_stop
from raypipe.run.stage import Stopped, is_complete
from raypipe.select.card import arm_stage
from raypipe.select.export import Export, export
from raypipe.select.selection import Selection
from raypipe.select.stage import select
from raypipe.storage import Folder


@dataclass(frozen=True, kw_only=True)
class Config(Selection, Export, ScoreConfig):
    """Settings of curate: those of score_corpus and select_corpus."""

    corpus: tuple[str, ...] = ("sample",)
    """[NAME=]URI of a folder, glob or file of Parquet or JSON lines (.gz, .zst), or `sample`. Repeatable."""


def main(config: Config) -> int:
    """Bring the run folder to its end; what is done already is not done again."""
    run = Folder(config.output)
    part(Selection, config).check()
    part(Export, config).check()
    with Lock(run) as lock, orderly_stop() as (stopping, status):
        note_run(run, config, stages=["heads", STAGE], status="running")
        try:
            is_whole = curate(config, run, stopping=stopping, is_owner=lambda: not lock.is_lost)
        except Stopped as stop:
            print(stop, file=sys.stderr)
            return status["code"]
        arms = [arm_stage(arm) for arm in config.arms]
        note_run(run, config, stages=["selection", *arms], status="finished" if is_whole else "incomplete")
        numbers = gather_numbers(run)
        report = write_report(run, numbers=numbers)
    console = Console()
    console.print(terminal.status(run), terminal.summary_of(numbers))
    console.print(f"Report: {report.removeprefix('file://')}", soft_wrap=True)
    return 0 if is_whole else 1


def curate(config: Config, run: Folder, *, stopping: Event, is_owner: Callable[[], bool]) -> bool:
    """Score, select, export; whether every row could be done."""
    card = score(config, run, stopping=stopping, is_owner=is_owner)
    if card["status"] == "finished":  # a selection from some of the scores would rank against the wrong rows
        select(config.output, part(Selection, config))
        if config.corpus_format != "none":
            export(config.output, part(Export, config))
    return is_complete(card)


if __name__ == "__main__":
    run_job(lambda: main(settings.parse(Config)))
