"""Classes from columns of stages: python -m jobs.predict --corpus DATA --output RUN --columns scores.loss --labels L.

A classifier is fitted on the rows that have a label (--labels), or opened from a folder (--fitted), and answers for all
rows: RUN/classes holds label, probability and, where the classifier knows it, familiarity.
"""

from dataclasses import dataclass

from raypipe.classify.methods import MethodName, method_class
from raypipe.fitting.sample import ColumnSample
from raypipe.run.inputs import resolve, sizes_of, stages_of
from raypipe.run.predict import Predict
from raypipe.settings.estimators import made_with
from raypipe.settings.identity import identity_of
from raypipe.storage.folder import Folder

from .parts import settings
from .parts.classifiers import classify, fit, gathered, read_labels, seeded
from .parts.common import CorpusSettings, RunSettings, life_of, run_job, stage_name, why_incomplete
from .parts.idle import refuse_idle

STAGE, LABELLED, CLASSIFIER = "classes", "labelled", "classifier"


@dataclass(frozen=True, kw_only=True)
class Config(CorpusSettings, RunSettings):
    """Settings of predict."""

    columns: tuple[str, ...]
    """One column of vectors, or several of numbers, STAGE.COLUMN each: embeddings.embedding. Repeatable."""
    labels: str | None = None
    """Parquet or JSON file of rows with `id` and `label`: the classifier is fitted on the rows of these ids."""
    fitted: str | None = None
    """Folder of a fitted classifier, such as RUN/classifier of another run, instead of --labels."""
    classifier: MethodName = "nearest-centroid"
    """What is fitted, or lies in --fitted."""
    set: tuple[str, ...] = ()
    """NAME=VALUE each: settings of the classifier that is fitted. Repeatable."""
    max_labelled: int = 100_000
    """Rows that the classifier is fitted on, at most, drawn by --seed."""
    seed: int = 0
    """Of that draw, and of a method that draws, unless --set random_state gives another."""
    max_workers: int | None = None
    """Processes that predict; None: as many as fill the machines."""


def main(config: Config) -> int:
    """Predict what isn't predicted yet; status 1 if a shard had to be set aside."""
    stage = stage_name(STAGE, config)
    if (config.labels is None) == (config.fitted is None):
        raise ValueError("give either --labels or --fitted.")
    if config.fitted:
        refuse_idle(config, ["set", "max_labelled", "seed"], because="with --fitted")
    if config.max_labelled < 1:
        raise ValueError(f"max_labelled must be at least 1, got {config.max_labelled}.")
    with life_of(config, "predict", stages=[stage], has_shards=True) as life:
        corpus, stages = config.to_corpus(), stages_of(config.columns)
        resolve(life.run, config.columns, stages=stages)  # wrong names end here, before any worker
        sizes = sizes_of(life.run, stages[0])
        read = identity_of(corpus, sizes)
        labels = read_labels(config.labels) if config.labels else {}
        kind = method_class(config.classifier)
        unfitted = seeded(made_with(kind, config.set), config.seed)
        op = Predict(kind, _folder(config, life.run), config.columns)
        if config.fitted:
            op.identity()  # a folder that holds no such classifier ends here too
        life.begin()
        if labels:
            asked = ColumnSample(config.columns, config.max_labelled, config.seed, frozenset(labels))
            found = gathered(asked, life, stage_name(LABELLED, config), corpus, sizes, read)
            print(f"{len(found.X):,} of {len(labels):,} labelled rows are there")
            fit(unfitted, found, labels, op.fitted)
        card = classify(op, life, stage, corpus, sizes, stages, run=config, max_workers=config.max_workers)
        life.conclude(why_incomplete(card))
    return life.status


def _folder(config: Config, run: Folder) -> Folder:
    return Folder(config.fitted or f"{run.uri}/{stage_name(CLASSIFIER, config)}")


if __name__ == "__main__":
    run_job(lambda: main(settings.parse(Config)))
