"""Tokenise a corpus once: python -m jobs.tokenize_corpus --corpus DATA --output RUN --tokenizer MODEL."""

from dataclasses import asdict, dataclass

from raypipe.corpus import plan_shards
from raypipe.run.cluster import Wanted
from raypipe.run.stage import Annotate
from raypipe.settings.identity import identity_of

from .parts import settings
from .parts.common import life_of, run_job, stage_name, why_incomplete
from .parts.idle import refuse_idle
from .parts.tokenising import (
    SIZES,
    STAGE,
    TokenizingSettings,
    export_mix,
    exported_selection,
    op_of,
    sizes_of,
    to_learn,
)


@dataclass(frozen=True, kw_only=True)
class Config(TokenizingSettings):
    """Settings of tokenize_corpus."""


def main(config: Config) -> int:
    """Tokenise what isn't tokenised yet; status 1 if a shard had to be set aside."""
    stage = stage_name(STAGE, config)
    if config.train_vocabulary is None:
        refuse_idle(config, ["train_texts"], because="without --train-vocabulary")
    if config.export == "none":
        refuse_idle(config, ["selection", "seed"], because="without --export")
    with life_of(config, "tokenize_corpus", stages=[stage], has_shards=True) as life:
        corpus, sizes = config.to_corpus(), sizes_of(config)
        plan_shards(corpus, **asdict(SIZES))  # wrong paths and columns end here, before any worker
        selection = exported_selection(config, life.run)
        vocabulary_to_learn = to_learn(config)
        life.begin()
        with life.at_once():
            op = op_of(config, corpus, vocabulary_to_learn)
        card = Annotate(
            life.run,
            stage,
            op,
            corpus,
            wanted=Wanted(1, 1, 0.0, config.cpus_per_worker),
            sizes=sizes,
            identity=identity_of(op, corpus, sizes, op_version=op.version),
            stopping=life.stopping,
            is_owner=life.is_owner,
            retry_failed=config.retry == "failed",
        )()
        counts = card["counts"]
        print(f"{counts['rows']:,} rows: {counts['tokens']:,} tokens in {life.run.uri}/{stage}")
        if config.export == "megatron":
            life.run.owner.check(anew=True)  # the files are mapped into memory, not put through the run's folder
            export_mix(config, life.run, stage, selection)
        life.conclude(why_incomplete(card))
    return life.status


if __name__ == "__main__":
    run_job(lambda: main(settings.parse(Config)))
