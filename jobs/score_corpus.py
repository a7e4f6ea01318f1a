"""Score a corpus by attention influence: python -m jobs.score_corpus --corpus DATA --output RUN."""

from dataclasses import dataclass

from raypipe.report.words import formats_compared
from raypipe.storage.folder import Folder

from .parts import settings
from .parts.common import CorpusSettings, RunSettings, life_of, run_job, stage_name, why_incomplete
from .parts.idle import refuse_idle
from .parts.scoring import STAGE, ScoreSettings, foresee, score


@dataclass(frozen=True, kw_only=True)
class Config:
    """Settings of score_corpus."""

    documents: CorpusSettings
    scoring: ScoreSettings = ScoreSettings()
    seed: int = 0
    """Of everything that is drawn at random."""
    run: RunSettings


def main(config: Config) -> int:
    """Score what isn't scored yet; status 1 if a shard had to be set aside."""
    scoring, run, corpus = config.scoring, config.run, config.documents.to_corpus()
    if not scoring.plan:
        refuse_idle(scoring, ["price_per_hour"], because="without --plan")
    scoring.check()
    if scoring.plan:
        found = foresee(scoring, corpus, Folder(run.output), seed=config.seed)
        print("\n".join(found.lines(price_per_hour=scoring.price_per_hour)))
        return 0
    stage = stage_name(STAGE, run)
    with life_of(run, "score_corpus", recipe=config, stages=[stage], has_shards=True, is_main=True) as life:
        card = score(scoring, corpus, life, run=run, seed=config.seed, stages=["heads", stage])
        counts = card["counts"]
        skipped = counts["rows"] - counts["scored"]
        print(f"{counts['rows']:,} rows: {counts['scored']:,} scored, {skipped:,} skipped, in {life.run.uri}")
        for compared in card.get("number_format", []):
            print(formats_compared(compared))
        life.conclude(why_incomplete(card))
    return life.status


if __name__ == "__main__":
    run_job(lambda: main(settings.parse(Config)))
