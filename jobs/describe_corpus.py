"""Describe a corpus without a model: python -m jobs.describe_corpus --corpus DATA --output RUN.

One pass on CPUs writes OUTPUT/columns, for each row of the corpus: the statistics of the rules of Gopher, C4 and
FineWeb, its language and how sure that is, and how many e-mail addresses, public IP addresses and phone numbers it
holds. They are columns as any stage's: `gather` says their quantiles, `label_corpus` votes by them.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass

from raypipe.corpus import plan_shards
from raypipe.describe.describe import PART_NAMES, Describe, PartName, parts_of
from raypipe.describe.language import Language
from raypipe.run.inputs import Sizes
from raypipe.run.stage import Annotate
from raypipe.runs.card import Json
from raypipe.settings.identity import identity_of

from .parts import settings
from .parts.common import CorpusSettings, RunSettings, life_of, row_workers, run_job, stage_name, why_incomplete

STAGE = "columns"


@dataclass(frozen=True, kw_only=True)
class Config(CorpusSettings, RunSettings):
    """Settings of describe_corpus."""

    parts: tuple[PartName, ...] = PART_NAMES
    """What is said of each row. Repeatable."""
    shard_bytes: int = 64 << 20
    """Bytes of text a shard."""
    part_rows: int = 100_000
    """Rows of a part of a compressed stream or a JSON array."""
    max_workers: int | None = None
    """Processes that describe; None: as many as fill the machines."""


def main(config: Config) -> int:
    """Describe what isn't described yet; status 1 if a shard had to be set aside."""
    op, stage = Describe(parts_of(config.parts)), stage_name(STAGE, config)
    for part in op.parts:
        if isinstance(part, Language):
            part.check()  # before any worker
    with life_of(config, "describe_corpus", stages=[stage], has_shards=True) as life:
        corpus, sizes = config.to_corpus(), Sizes(config.shard_bytes, config.part_rows)
        plan_shards(corpus, **asdict(sizes))  # wrong paths and columns end here
        life.begin()
        names = [name for name in PART_NAMES if name in config.parts]
        card = Annotate(
            life.run, stage, op, corpus, row_workers(config.max_workers), sizes,
            identity_of(corpus, sizes, parts=names, op_version=op.version), stopping=life.stopping,
            is_owner=life.is_owner, retry_failed=config.retry == "failed", redo=True,
        )()  # fmt: skip
        print("\n".join(_lines(card["counts"], op.adds.names, f"{life.run.uri}/{stage}")))
        life.conclude(why_incomplete(card))
    return life.status


def _lines(counts: Json, columns: Sequence[str], where: str) -> list[str]:
    """What is there now."""
    return [
        f"{counts['scored']:,} of {counts['rows']:,} rows are described in {where}",
        f"columns: {', '.join(columns)}",
    ]


if __name__ == "__main__":
    run_job(lambda: main(settings.parse(Config)))
