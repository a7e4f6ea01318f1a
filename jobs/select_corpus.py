"""Select from a scored corpus: python -m jobs.select_corpus --run runs/demo --share 0.2 --share-of tokens."""

from dataclasses import dataclass, fields
from typing import TypeVar

from rich.console import Console

from jobs import settings
from jobs.common import run_job
from raypipe.report import terminal
from raypipe.select.export.export import Export, export
from raypipe.select.selection import Selection
from raypipe.select.stage import select
from raypipe.storage.folder import Folder

P = TypeVar("P", Selection, Export)


@dataclass(frozen=True, kw_only=True)
class Config(Selection, Export):
    """What to select, and whether to write its text."""

    run: str
    """Run folder (path or URI) that holds the scores."""


def main(config: Config) -> None:
    """Write RUN/selection with its control arms, RUN/corpus where asked for, and print what was selected."""
    part(Export, config).check()  # before the selection is made anew
    select(config.run, part(Selection, config))
    if config.corpus_format != "none":
        export(config.run, part(Export, config))
    run, console = Folder(config.run), Console()
    console.print(terminal.status(run), terminal.summary(run))


def part(kind: type[P], config: object) -> P:
    """The settings of one part of the job."""
    return kind(**{field.name: getattr(config, field.name) for field in fields(kind)})


if __name__ == "__main__":
    run_job(lambda: main(settings.parse(Config)))
