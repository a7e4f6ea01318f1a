"""Embed a corpus, a vector a document: python -m jobs.embed_corpus --corpus DATA --output RUN.

RUN/embeddings holds the vectors, a fixed-size list a row, and how many tokens they are of.
"""

from dataclasses import dataclass

from .parts import settings
from .parts.common import CorpusSettings, RunSettings, life_of, run_job, stage_name, why_incomplete
from .parts.embedding import STAGE, EmbedSettings, embed


@dataclass(frozen=True, kw_only=True)
class Config:
    """Settings of embed_corpus."""

    documents: CorpusSettings
    embedding: EmbedSettings = EmbedSettings()
    run: RunSettings


def main(config: Config) -> int:
    """Embed what isn't embedded yet; status 1 if a shard had to be set aside."""
    config.embedding.check()
    run, stage = config.run, stage_name(STAGE, config.run)
    with life_of(run, "embed_corpus", recipe=config, stages=[stage], has_shards=True) as life:
        card = embed(config.embedding, config.documents.to_corpus(), life, run=run)
        counts = card["counts"]
        skipped = counts["rows"] - counts["scored"]
        print(f"{counts['rows']:,} rows: {counts['scored']:,} vectors, {skipped:,} skipped, in {life.run.uri}/{stage}")
        life.conclude(why_incomplete(card))
    return life.status


if __name__ == "__main__":
    run_job(lambda: main(settings.parse(Config)))
