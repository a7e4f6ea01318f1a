"""Select from a scored corpus: python -m jobs.select_corpus --run runs/demo --share 0.2 --share-of tokens."""

from dataclasses import dataclass

from rich.console import Console

from raypipe.report import terminal
from raypipe.report.escape import terminal_text
from raypipe.runs.card import finished_card
from raypipe.runs.life import Life
from raypipe.select.export.export import Export, export
from raypipe.select.rules.ruling import STAGE as RULES
from raypipe.select.rules.ruling import lines_of
from raypipe.select.selection import Selection, arm_stage
from raypipe.select.stage import is_ruled, select
from raypipe.settings.nested import flat
from raypipe.storage.folder import Folder

from .parts import settings
from .parts.common import run_job
from .parts.idle import refuse_idle


@dataclass(frozen=True, kw_only=True)
class Config:
    """What to select, and whether to write its text."""

    selection: Selection = Selection()
    export: Export = Export()
    run: str
    """Run folder (path or URI) that holds the scores."""


def main(config: Config) -> int:
    """Write RUN/selection with its control arms, RUN/corpus where asked for, and print what was selected."""
    selection, written = config.selection, config.export
    selection.check()
    written.check()  # before the selection is made anew
    check_selecting(selection, written)
    stages = ["selection", *map(arm_stage, selection.arms)]
    with Life(Folder(config.run), "select_corpus", recipe=flat(config), stages=stages, is_new=False) as life:
        life.begin()
        with life.at_once():
            select(life.run, selection)
            if written.corpus_format != "none":
                export(life.run, written)
        life.conclude()
        console = Console()
        say_rules(life.run, selection)
        console.print(terminal.status(life.run), terminal.summary(life.run))
    return life.status


def say_rules(run: Folder, selection: Selection) -> None:
    """Print what each rule of a finished selection dropped; of one without rules nothing."""
    if is_ruled(selection):
        print("\n".join(map(terminal_text, lines_of(finished_card(run, RULES)["rules"]))))


def check_selecting(selection: Selection, written: Export) -> None:
    """Refuse settings of selecting and exporting that would be ignored.

    Raises
    ------
    ValueError
        With the first.
    """
    if selection.choosing.sampling != "temperature":
        refuse_idle(selection.choosing, ["temperature"], because="without --sampling temperature")
    if selection.weighing.mix != "upsample":
        refuse_idle(selection.weighing, ["extra_copies"], because="without --mix upsample")
    if written.corpus_format != "huggingface":
        refuse_idle(written, ["licences"], because="without --corpus-format huggingface")
    if written.corpus_format == "none":
        refuse_idle(
            written,
            ["file_size", "repeat", "redact", "c4_lines", "licence_column", "export_arm"],
            because="without --corpus-format",
        )


if __name__ == "__main__":
    run_job(lambda: main(settings.parse(Config)))
