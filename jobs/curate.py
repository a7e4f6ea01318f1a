"""The main job: score a corpus by influence, select from it, report: python -m jobs.curate --config RECIPE."""

from dataclasses import dataclass
from typing import Any

from rich.console import Console

from raypipe.report import gather_numbers, terminal, write_report
from raypipe.run.one_task import on_a_worker
from raypipe.runs.card import read_card
from raypipe.runs.life import Life
from raypipe.score.heads.controls import CHARACTERS, run_controls
from raypipe.select.export.export import Export, export
from raypipe.select.selection import Selection, arm_stage
from raypipe.select.stage import select

from .parts import settings
from .parts.common import life_of, run_job, stage_name, why_incomplete
from .parts.heads import MAX_TEXTS, some_texts
from .parts.scoring import STAGE, ScoreSettings, check_effects, make_op, score
from .select_corpus import check_selecting, part


@dataclass(frozen=True, kw_only=True)
class Config(Selection, Export, ScoreSettings):
    """Settings of curate: those of score_corpus and select_corpus."""

    corpus: tuple[str, ...] = ("sample",)
    """[NAME=]URI of a folder, glob or file of Parquet or JSON (.gz, .zst, .bz2, .xz), or `sample`. Repeatable."""
    controls: int = 12
    """Documents of the corpus to try the scorer on, live: shuffled, repeated, with no head neutralised; 0: none."""


def main(config: Config) -> int:
    """Bring the run folder to its end; what is done already is not done again."""
    selection, written = part(Selection, config), part(Export, config)
    selection.check()
    written.check()
    check_effects(config)
    check_selecting(selection, written)
    arms = ["selection", *map(arm_stage, config.arms)]
    own = [stage_name(STAGE, config), *arms, *([] if written.corpus_format == "none" else [written.stage])]
    with life_of(config, "curate", stages=own, has_shards=True, is_main=True) as life:
        card = score(config, life, stages=["heads", *own])
        if card["status"] == "finished":  # a selection from some of the scores would rank against the wrong rows
            with life.at_once():
                select(life.run, selection)
                if written.corpus_format != "none":
                    export(life.run, written)
        with life.at_once():
            life.note(controls=try_controls(config, life))
        life.conclude(why_incomplete(card))
        numbers = gather_numbers(life.run)
        report = write_report(life.run, numbers=numbers)
        console = Console()
        console.print(terminal.status(life.run), terminal.summary_of(numbers))
        console.print(f"Report: {report.removeprefix('file://')}", soft_wrap=True)
    return life.status


def try_controls(config: Config, life: Life) -> list[dict[str, Any]]:
    """The controls on documents of this corpus; what was tried in this run before isn't tried again."""
    before: list[dict[str, Any]] = life.noted("controls") or []
    if before or not config.controls or "influence" not in config.scorer:
        return before
    texts = [text for text in some_texts(config.to_corpus(), limit=MAX_TEXTS) if len(text) >= CHARACTERS]
    chosen = texts[:: max(1, len(texts) // config.controls)][: config.controls]
    if not chosen:
        return []
    wanted = config.to_wanted()
    identity = (read_card(life.run / stage_name(STAGE, config)) or {}).get("identity", {})
    heads = tuple((layer, head) for layer, head in identity.get("heads", []))
    op = make_op(config, heads, identity, wanted.have_gpus)
    return on_a_worker(wanted.pool, run_controls, op, chosen, wanted.pool.n_threads, config.seed)


if __name__ == "__main__":
    run_job(lambda: main(settings.parse(Config)))
