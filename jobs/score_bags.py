"""Scores of chunks and documents: python -m jobs.score_bags --corpus DATA --output RUN --column C [--fitted FOLDER].

Takes what fit_bags has fitted over a column of a stage. Of lists of vectors, such as chunk_columns.embedding,
RUN/bag_scores holds beside each document its score, those of its chunks, the lowest and the highest and which chunks
they are; of vectors (--corpus 'RUN/chunks/*.parquet', --column embeddings.embedding) a score each.
"""

from dataclasses import dataclass

import pyarrow as pa

from raypipe.corpus.kinds import kind_of
from raypipe.run.inputs import resolve, sizes_of, stages_of
from raypipe.run.score_bags import ScoreBags
from raypipe.run.stage import Annotate
from raypipe.settings.identity import identity_of
from raypipe.storage.folder import Folder

from .parts import settings
from .parts.common import CorpusSettings, RunSettings, life_of, row_workers, run_job, stage_name, why_incomplete

STAGE, SCORER = "bag_scores", "bag_scorer"


@dataclass(frozen=True, kw_only=True)
class Config(CorpusSettings, RunSettings):
    """Settings of score_bags."""

    column: str
    """STAGE.COLUMN of the run, of vectors or of lists of vectors."""
    fitted: str | None = None
    """Folder of fit_bags; None: RUN/bag_scorer."""
    max_workers: int | None = None
    """Processes that write; None: as many as fill the machines. The readers score, as many as there is room for."""


def main(config: Config) -> int:
    """Score what isn't scored yet; status 1 if a shard had to be set aside."""
    stage, stages = stage_name(STAGE, config), stages_of((config.column,))
    with life_of(config, "score_bags", stages=[stage], has_shards=True) as life:
        resolve(life.run, (config.column,), stages=stages)  # wrong names end here, before any worker
        kind = kind_of(life.run, config.column)
        if not pa.types.is_nested(kind):
            raise ValueError(f"column must be of vectors or of lists of vectors, {config.column!r} is of {kind}.")
        folder = Folder(config.fitted or f"{config.output}/{SCORER}")
        op = ScoreBags(folder, config.column, pa.types.is_nested(kind.value_type))
        identity = op.identity()  # a folder that holds no scorer ends here
        corpus, sizes = config.to_corpus(), sizes_of(life.run, stages[0])
        life.begin()
        card = Annotate(
            life.run, stage, op, corpus, row_workers(config.max_workers), sizes,
            identity_of(corpus, sizes, **identity), stopping=life.stopping, is_owner=life.is_owner,
            retry_failed=config.retry == "failed", stages=stages, redo=True,
        )()  # fmt: skip
        counts = card["counts"]
        print(f"{counts['scored']:,} of {counts['rows']:,} rows have a score in {life.run.uri}/{stage}")
        life.conclude(why_incomplete(card))
    return life.status


if __name__ == "__main__":
    run_job(lambda: main(settings.parse(Config)))
