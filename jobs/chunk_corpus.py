"""Cut long texts into chunks: python -m jobs.chunk_corpus --corpus DATA --output RUN --max-chars 4000.

The chunks are a corpus of their own: --corpus 'RUN/chunks/*.parquet' --id-column id.
"""

from dataclasses import asdict, dataclass

from raypipe.corpus import plan_shards
from raypipe.rewrite.chunks import Chunks
from raypipe.run.inputs import Sizes
from raypipe.run.rewrite import rewrite_stage
from raypipe.settings.identity import identity_of

from .parts import settings
from .parts.common import CorpusSettings, RunSettings, life_of, row_workers, run_job, stage_name, why_incomplete

STAGE = "chunks"


@dataclass(frozen=True, kw_only=True)
class Config(CorpusSettings, RunSettings):
    """Settings of chunk_corpus."""

    max_chars: int = 4000
    """Longest chunk, in characters; cut between paragraphs, lines, sentences or words, in this order."""
    shard_bytes: int = 64 << 20
    """Bytes of text a shard."""
    part_rows: int = 100_000
    """Rows of a part of a compressed stream or a JSON array."""
    max_workers: int | None = None
    """Processes that cut; None: as many as fill the machines."""


def main(config: Config) -> int:
    """Cut what isn't cut yet; status 1 if a shard had to be set aside."""
    stage = stage_name(STAGE, config)
    with life_of(config, "chunk_corpus", stages=[stage], has_shards=True) as life:
        corpus, sizes = config.to_corpus(), Sizes(config.shard_bytes, config.part_rows)
        rewrite = Chunks(config.max_chars)
        plan_shards(corpus, **asdict(sizes))  # wrong paths and columns end here, before any worker
        life.begin()
        card = rewrite_stage(
            rewrite,
            run=life.run,
            stage=stage,
            corpus=corpus,
            wanted=row_workers(config.max_workers),
            sizes=sizes,
            identity=identity_of(rewrite, corpus, sizes, rewrite="chunks", version=rewrite.version),
            stopping=life.stopping,
            is_owner=life.is_owner,
            retry_failed=config.retry == "failed",
            redo=True,
        )()
        counts = card["counts"]
        print(f"{counts['scored']:,} texts: {counts['written']:,} chunks in {life.run.uri}/{stage}")
        life.conclude(why_incomplete(card))
    return life.status


if __name__ == "__main__":
    run_job(lambda: main(settings.parse(Config)))
