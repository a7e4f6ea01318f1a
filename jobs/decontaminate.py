"""Find what a corpus shares with benchmarks: python -m jobs.decontaminate --corpus DATA --benchmarks A.jsonl.

Writes OUTPUT/decontamination: a row for each row of the corpus, skipped where it has 13 words in a row of a benchmark,
with the run of words and the benchmark's row. `select_corpus --leave-out decontamination` then selects none of them.
"""

from dataclasses import asdict, dataclass
from typing import Any

from raypipe.arrays.ngrams import MIN_WORDS, N
from raypipe.corpus import Corpus, plan_shards
from raypipe.report.escape import terminal_text
from raypipe.run.cluster import Wanted
from raypipe.run.inputs import Sizes
from raypipe.run.stage import Annotate
from raypipe.select.dedup.decontaminate import IN, Decontaminate, Sought, sought_in

from .parts import settings
from .parts.common import CorpusSettings, RunSettings, life_of, run_job, stage_name, why_incomplete

STAGE = "decontamination"


@dataclass(frozen=True, kw_only=True)
class Config(CorpusSettings, RunSettings):
    """Settings of decontaminate."""

    benchmarks: tuple[str, ...]
    """[NAME=]URI of a benchmark's rows, Parquet or JSON; every text in them is sought. Repeatable."""
    n: int = N
    """Words of a run that must not be shared; case and punctuation don't count."""
    min_words: int = MIN_WORDS
    """A benchmark's text of fewer than n words is sought whole, if it has so many."""
    shard_bytes: int = 64 << 20
    """Bytes of text a shard."""
    part_rows: int = 100_000
    """Rows of a part of a compressed stream or a JSON array."""


def main(config: Config) -> int:
    """Look through what isn't looked through yet; status 1 if a shard had to be set aside."""
    stage = stage_name(STAGE, config)
    with life_of(config, "decontaminate", stages=[stage], has_shards=True) as life:
        corpus, sizes = config.to_corpus(), Sizes(config.shard_bytes, config.part_rows)
        plan_shards(corpus, **asdict(sizes))  # wrong paths and columns end here, before any worker
        sought = sought_in(config.benchmarks, config.n, config.min_words)
        life.begin()
        card = Annotate(
            life.run, stage, Decontaminate(config.benchmarks, config.n, config.min_words), corpus,
            wanted=Wanted(1, 1, gpus_per_worker=0.0, cpus_per_worker=1.0), sizes=sizes,
            identity=_identity(sought.sha256, corpus, sizes), stopping=life.stopping, is_owner=life.is_owner,
            retry_failed=config.retry == "failed", redo=True,
        )()  # fmt: skip
        print("\n".join(_lines(card["counts"], sought)))
        life.conclude(why_incomplete(card))
    return life.status


def _lines(counts: dict[str, Any], sought: Sought) -> list[str]:
    """What was sought, and how many rows share it."""
    found = {why.removeprefix(IN): n for why, n in sorted(counts["skipped"].items()) if why.startswith(IN)}
    shared = ", ".join(f"{n:,} with {terminal_text(name)}" for name, n in found.items()) or "none"
    return [
        f"{len(sought.index):,} runs of {sought.n_rows:,} rows sought; {sought.n_short:,} rows are too short to be.",
        f"{counts['rows']:,} rows of the corpus; with a run in common: {shared}.",
    ]


def _identity(sought: str, corpus: Corpus, sizes: Sizes) -> dict[str, Any]:
    """Whatever can change a byte of the files."""
    columns = {name: value for name, value in asdict(corpus).items() if name != "sources"}
    return {"benchmarks_sha256": sought, "op_version": Decontaminate.version, **asdict(sizes), **columns}


if __name__ == "__main__":
    run_job(lambda: main(settings.parse(Config)))
