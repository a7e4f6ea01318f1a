"""The main job: score a corpus by influence, select from it, report: python -m jobs.curate --config RECIPE."""

from dataclasses import dataclass

from rich.console import Console

from raypipe.report import gather_numbers, terminal, write_report
from raypipe.sample import SAMPLE
from raypipe.select.export.export import Export, export
from raypipe.select.export.licences import check_column
from raypipe.select.selection import Selection, arm_stage
from raypipe.select.stage import select

from .parts import settings
from .parts.common import CorpusSettings, RunSettings, life_of, run_job, stage_name, why_incomplete
from .parts.controls import try_controls
from .parts.idle import refuse_idle
from .parts.scoring import STAGE, ScoreSettings, score
from .select_corpus import check_selecting, say_rules


@dataclass(frozen=True, kw_only=True)
class Config:
    """Settings of curate: those of score_corpus and select_corpus."""

    documents: CorpusSettings = CorpusSettings(corpus=(SAMPLE,))
    scoring: ScoreSettings = ScoreSettings()
    selection: Selection = Selection()  # whose seed is also that of probes and controls
    export: Export = Export()
    controls: int = 12
    """Documents of the corpus to try the scorer on, live: shuffled, repeated, with no head neutralised; 0: none."""
    run: RunSettings


def main(config: Config) -> int:
    """Bring the run folder to its end; what is done already is not done again."""
    selection, written, run = config.selection, config.export, config.run
    selection.check()
    written.check()
    config.scoring.check()
    refuse_idle(config.scoring, ["plan", "price_per_hour"], because="in curate; python -m jobs.score_corpus forecasts")
    check_selecting(selection, written)
    corpus, arms = config.documents.to_corpus(), ["selection", *map(arm_stage, selection.arms)]
    if written.licence_column is not None:
        check_column(corpus, written.licence_column)
    own = [stage_name(STAGE, run), *arms, *([] if written.corpus_format == "none" else [written.stage])]
    with life_of(run, "curate", recipe=config, stages=own, has_shards=True, is_main=True) as life:
        card = score(config.scoring, corpus, life, run=run, seed=selection.seed, stages=["heads", *own])
        if card["status"] == "finished":  # a selection from some of the scores would rank against the wrong rows
            with life.at_once():
                select(life.run, selection)
                if written.corpus_format != "none":
                    export(life.run, written)
            say_rules(life.run, selection)
        with life.at_once():
            stage = life.run / stage_name(STAGE, run)
            life.note(
                controls=life.noted("controls")
                or try_controls(config.scoring, corpus, stage, n=config.controls, seed=selection.seed)
            )
        life.conclude(why_incomplete(card))
        numbers = gather_numbers(life.run)
        report = write_report(life.run, numbers=numbers)
        console = Console()
        console.print(terminal.status(life.run), terminal.summary_of(numbers))
        console.print(f"Report: {report.removeprefix('file://')}", soft_wrap=True)
    return life.status


if __name__ == "__main__":
    run_job(lambda: main(settings.parse(Config)))
