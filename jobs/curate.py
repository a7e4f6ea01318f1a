"""The main job: score a corpus by influence, select from it, report: python -m jobs.curate --config RECIPE."""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from threading import Event
from typing import Any

from rich.console import Console

from jobs import settings
from jobs.common import note_run, noted, run_job
from jobs.find_heads import MAX_TEXTS, some_texts
from jobs.score_corpus import STAGE, make_op, score
from jobs.score_corpus import Config as ScoreConfig
from jobs.select_corpus import part
from raypipe.report import gather_numbers, terminal, write_report
from raypipe.run.one_task import on_a_worker
from raypipe.run.stage import Stopped, is_complete
from raypipe.runs.card import read_card
from raypipe.runs.lock import Lock
from raypipe.runs.signals import orderly_stop
from raypipe.score.heads.controls import CHARACTERS, run_controls
from raypipe.select.card import arm_stage
from raypipe.select.export.export import Export, export
from raypipe.select.selection import Selection
from raypipe.select.stage import select
from raypipe.storage.folder import Folder


@dataclass(frozen=True, kw_only=True)
class Config(Selection, Export, ScoreConfig):
    """Settings of curate: those of score_corpus and select_corpus."""

    corpus: tuple[str, ...] = ("sample",)
    """[NAME=]URI of a folder, glob or file of Parquet or JSON lines (.gz, .zst), or `sample`. Repeatable."""
    controls: int = 12
    """Documents of the corpus to try the scorer on, live: shuffled, repeated, with no head neutralised; 0: none."""


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
        ended = "finished" if is_whole else "incomplete"
        note_run(run, config, stages=["selection", *arms], status=ended, controls=try_controls(config, run))
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


def try_controls(config: Config, run: Folder) -> list[dict[str, Any]]:
    """The controls on documents of this corpus; what was tried in this run before isn't tried again."""
    before: list[dict[str, Any]] = noted(run, "controls") or []
    if before or not config.controls or "influence" not in config.scorer:
        return before
    texts = [text for text in some_texts(config.to_corpus(), limit=MAX_TEXTS) if len(text) >= CHARACTERS]
    chosen = texts[:: max(1, len(texts) // config.controls)][: config.controls]
    if not chosen:
        return []
    wanted = config.to_wanted()
    stage = f"{STAGE}-{config.name}" if config.name else STAGE
    identity = (read_card(run / stage) or {}).get("identity", {})
    op = make_op(config, run, identity, lambda: wanted.pool)
    return on_a_worker(wanted.pool, run_controls, op, chosen, wanted.pool.n_threads, config.seed)


if __name__ == "__main__":
    run_job(lambda: main(settings.parse(Config)))
