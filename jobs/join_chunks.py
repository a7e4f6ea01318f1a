"""Chunks' columns back beside documents: python -m jobs.join_chunks --corpus DATA --output RUN --columns STAGE.COLUMN.

After chunk_corpus, and stages such as embed_corpus that were made of the chunks, RUN/chunk_columns holds beside each
document how many chunks it has, and a list of each column in their order: `fit_bags`, `fit_classifier` and
`classify_corpus` take them as bags and sets, `select_corpus --keep` as lists.
"""

from dataclasses import dataclass

from raypipe.rewrite.back import Back
from raypipe.run.inputs import sizes_of
from raypipe.run.stage import Annotate
from raypipe.settings.identity import identity_of
from raypipe.storage.folder import Folder

from .parts import settings
from .parts.common import CorpusSettings, RunSettings, life_of, row_workers, run_job, stage_name, why_incomplete

STAGE = "chunk_columns"


@dataclass(frozen=True, kw_only=True)
class Config(CorpusSettings, RunSettings):
    """Settings of join_chunks."""

    columns: tuple[str, ...]
    """Of stages that were made of the chunks, STAGE.COLUMN each: embeddings.embedding. Repeatable."""
    of: str | None = None
    """The run that these stages are in; None: --output itself."""
    chunks: str = "chunks"
    """The stage of chunk_corpus, in --output."""
    max_workers: int | None = None
    """Processes that write; None: as many as fill the machines."""


def main(config: Config) -> int:
    """Join what isn't joined yet; status 1 if a shard had to be set aside."""
    stage = stage_name(STAGE, config)
    with life_of(config, "join_chunks", stages=[stage], has_shards=True) as life:
        op = Back.of(life.run, config.chunks, Folder(config.of or config.output), config.columns)
        corpus, sizes = config.to_corpus(), sizes_of(life.run, config.chunks)
        life.begin()
        card = Annotate(
            life.run, stage, op, corpus, row_workers(config.max_workers), sizes,
            identity_of(corpus, sizes, **op.identity()), stopping=life.stopping, is_owner=life.is_owner,
            retry_failed=config.retry == "failed", redo=True,
        )()  # fmt: skip
        counts = card["counts"]
        print(f"{counts['scored']:,} of {counts['rows']:,} documents have chunks, in {life.run.uri}/{stage}")
        life.conclude(why_incomplete(card))
    return life.status


if __name__ == "__main__":
    run_job(lambda: main(settings.parse(Config)))
