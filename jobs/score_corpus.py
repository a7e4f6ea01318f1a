"""Score a corpus by attention influence: python -m jobs.score_corpus --corpus DATA --output RUN."""

from dataclasses import dataclass

from raypipe.report.words import formats_compared
from raypipe.storage.folder import Folder

from .parts import settings
from .parts.common import life_of, run_job, stage_name, why_incomplete
from .parts.idle import refuse_idle
from .parts.scoring import STAGE, ScoreSettings, check_effects, foresee, score


@dataclass(frozen=True, kw_only=True)
class Config(ScoreSettings):
    """Settings of score_corpus."""


def main(config: Config) -> int:
    """Score what isn't scored yet; status 1 if a shard had to be set aside."""
    if not config.plan:
        refuse_idle(config, ["price_per_hour"], because="without --plan")
    check_effects(config)
    if config.plan:
        found = foresee(config, Folder(config.output))
        print("\n".join(found.lines(price_per_hour=config.price_per_hour)))
        return 0
    stage = stage_name(STAGE, config)
    with life_of(config, "score_corpus", stages=[stage], has_shards=True, is_main=True) as life:
        card = score(config, life, stages=["heads", stage])
        counts = card["counts"]
        skipped = counts["rows"] - counts["scored"]
        print(f"{counts['rows']:,} rows: {counts['scored']:,} scored, {skipped:,} skipped, in {life.run.uri}")
        for found in card.get("number_format", []):
            print(formats_compared(found))
        life.conclude(why_incomplete(card))
    return life.status


if __name__ == "__main__":
    run_job(lambda: main(settings.parse(Config)))
