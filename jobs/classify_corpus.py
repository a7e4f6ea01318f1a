"""Classify a corpus: python -m jobs.classify_corpus --corpus DATA --output RUN [--fitted FOLDER].

Takes a classifier that fit_classifier has fitted over a corpus. RUN/classes holds, beside each row, label and
probability, and where the classifier has them familiarity (higher is more; low is novel), explanation and radius, how
far the row may move without another label; with --edges, label_beyond, which may be a label that had no labelled row.
Of a classifier of many labels a row, label is the likeliest, and labels and probabilities list all likely enough.
With --keep rows of other labels are skipped rows, and `select_corpus --leave-out classes` selects none of them. With
--good it is a stage of scores: `quality` is the probability of these labels; `select_corpus --scores classes`, the
report and `ablate --scores` take it as any other. Of ss3 there is RUN/classes_in_colour.html: the first texts of each
label, words and sentences tinted by what they say for it.
"""

from dataclasses import asdict, dataclass

from raypipe.classify.methods import method_of_class
from raypipe.columns import TEXT
from raypipe.contracts.estimator import Estimator
from raypipe.corpus import Corpus, plan_shards
from raypipe.corpus.plan import Plan
from raypipe.models.fitted import open_fitted, read_settings, read_threshold
from raypipe.run.classify import Classify, stored_input
from raypipe.run.classify_many import ClassifyMany
from raypipe.run.inputs import Sizes, resolve, sizes_of, stages_of
from raypipe.storage.folder import Folder

from .parts import settings
from .parts.classifiers import classify, read_reach
from .parts.common import CorpusSettings, RunSettings, life_of, run_job, stage_name, why_incomplete
from .parts.idle import refuse_idle

STAGE, CLASSIFIER = "classes", "classifier"


@dataclass(frozen=True, kw_only=True)
class Config(CorpusSettings, RunSettings):
    """Settings of classify_corpus."""

    fitted: str | None = None
    """Folder of the fitted classifier; None: RUN/classifier."""
    columns: tuple[str, ...] = ()
    """What stands for the columns that it was fitted on, in their order: STAGE.COLUMN each, or text. Left out: the
    corpus's text for a classifier of texts, else columns of the same names. Repeatable."""
    keep: tuple[str, ...] = ()
    """Labels whose rows come through; the others are skipped rows, with their label as the reason. Repeatable."""
    good: tuple[str, ...] = ()
    """Labels of good rows: `quality` is their probability, a score to select by. Repeatable."""
    min_familiarity: float | None = None
    """Less familiar rows are skipped rows too; fit_classifier says which threshold keeps 95 % of known rows."""
    min_probability: float | None = None
    """Of a classifier of many labels: from which on a label is said; None: what fit_classifier found best."""
    edges: str | None = None
    """Parquet or JSON file of rows with `label` and `parent`, or any two labels that are next to each other: of all its
    labels, label_beyond is that of the least expected squared distance in steps (method loki); it may have no row."""
    shard_bytes: int = 64 << 20
    """Bytes of text a shard, where no stage is read."""
    part_rows: int = 100_000
    """Rows of a part of a compressed stream or a JSON array, where no stage is read."""
    max_workers: int | None = None
    """Processes that write; None: as many as fill the machines. The readers classify, as many as there is room for."""


def main(config: Config) -> int:
    """Classify what isn't classified yet; status 1 if a shard had to be set aside."""
    stage = stage_name(STAGE, config)
    folder = Folder(config.fitted or f"{config.output}/{CLASSIFIER}")
    op = _op_of(config, folder)
    op.identity()  # a folder that holds no such classifier ends here
    of_stages = tuple(name for name in op.columns if name != TEXT)
    stages = stages_of(of_stages)
    with life_of(config, "classify_corpus", stages=[stage], has_shards=True) as life:
        corpus, sizes, plan = config.to_corpus(), Sizes(config.shard_bytes, config.part_rows), None
        if stages:
            refuse_idle(config, ["shard_bytes", "part_rows"], because="beside a stage, which is cut already")
            resolve(life.run, op.columns, stages=stages)  # wrong names end here, before any worker
            sizes = sizes_of(life.run, stages[0])
        else:
            plan = plan_shards(corpus, **asdict(sizes))  # and wrong paths here
        life.begin()
        card = classify(op, life, stage, corpus, sizes, stages, run=config, max_workers=config.max_workers)
        if plan is not None:
            _write_in_colour(op.estimator, folder, corpus, plan, life.run, stage)
        life.conclude(why_incomplete(card))
    return life.status


def _op_of(config: Config, folder: Folder) -> Classify:
    """What takes rows through the folder's estimator, which says one label a row or many.

    Raises
    ------
    FileNotFoundError, ValueError
        If the folder holds none, or a setting is for the other kind.
    """
    reach, threshold = read_reach(config.edges) if config.edges else None, read_threshold(folder)
    if threshold is None and config.min_probability is not None:
        raise ValueError(
            f"min_probability is for a classifier of many labels a row, and {folder.uri} holds one that says one; "
            "leave it out, or fit on rows whose label is a list."
        )
    kind, columns = method_of_class(read_settings(folder)["class"]), config.columns or _columns_of(folder)
    if threshold is None:
        return Classify(kind, folder, columns, config.keep, config.min_familiarity, config.good, reach)
    chosen = threshold if config.min_probability is None else config.min_probability
    return ClassifyMany(
        kind, folder, columns, config.keep, config.min_familiarity, config.good, reach, threshold=chosen
    )


def _write_in_colour(
    kind: type[Estimator], fitted: Folder, corpus: Corpus, plan: Plan, run: Folder, stage: str
) -> None:  # fmt: skip
    """Of SS3 on texts, a page of some of the corpus as it reads them."""
    from raypipe.classify.ss3 import SS3  # loads scikit-learn
    from raypipe.fitting.inputs import open_input
    from raypipe.fitting.words import WordCounts

    from .parts.colours import corpus_in_colour
    from .parts.fitting import IN_COLOUR

    words = open_input(*stored_input(fitted))
    if issubclass(kind, SS3) and isinstance(words, WordCounts):
        run.write(f"{stage}_{IN_COLOUR}", corpus_in_colour(open_fitted(kind, fitted), words, corpus, plan).encode())
        print(f"Texts in colour: {run.path(f'{stage}_{IN_COLOUR}')}")


def _columns_of(folder: Folder) -> tuple[str, ...]:
    """Columns of the corpus or of stages that are named as those that a classifier was fitted on.

    Raises
    ------
    ValueError
        If there can be none.
    """
    about, _ = stored_input(folder)
    if about["name"] in ("words", "counts", "ngrams", "sentences"):
        return (TEXT,)
    if not about["columns"] or any("." not in name for name in about["columns"]):
        said = ", ".join(about["columns"]) or "no column"
        raise ValueError(f"the classifier was fitted on {said}; say which columns of stages stand for them: --columns.")
    return tuple(about["columns"])


if __name__ == "__main__":
    run_job(lambda: main(settings.parse(Config)))
