"""Scores of parts from numbers of wholes: python -m jobs.fit_bags --rows R.jsonl --number N --column C --output RUN.

A bag is a document of chunks, or a slide of tiles, and only the bag has a number. WeakSTIL learns a score for each
instance whose mean over a bag is the bag's number; it is cross-validated over bags beside ridge on mean vectors,
shuffled numbers and the mean, then fitted on all: RUN/bag_scorer holds estimator.json, state.safetensors and
evaluation.json, and `score_bags` takes it over chunks or documents. The column is one of the rows, of lists of vectors,
or STAGE.COLUMN of the run (chunk_columns.embedding of join_chunks), for rows with an id.
"""

from dataclasses import dataclass

from raypipe.runs.stage import at_work
from raypipe.settings.estimators import made_with

from .parts import bags, settings
from .parts.classifiers import seeded
from .parts.common import CorpusSettings, RunSettings, life_of, run_job, stage_name
from .parts.idle import names_of, refuse_idle

STAGE, NUMBERED = "bag_scorer", "numbered"


@dataclass(frozen=True, kw_only=True)
class Config(CorpusSettings, RunSettings):
    """Settings of fit_bags."""

    corpus: tuple[str, ...] = ()
    """Only with a column of a stage: the documents that it is of."""
    rows: tuple[str, ...]
    """Parquet or JSON files of rows with a number, such as those of a stage, RUN/scores/*.parquet. Repeatable."""
    number: str
    """Column of the number of a bag; rows without one are passed over."""
    column: str
    """Of lists of vectors: of the rows, or STAGE.COLUMN of the run for rows with `id`."""
    set: tuple[str, ...] = ()
    """NAME=VALUE each: settings of WeakSTIL. Repeatable."""
    alphas: tuple[float, ...] = (0.001, 0.01, 0.1, 1.0)
    """Penalties on squared weights; the one that foretells held-out bags best is taken, unless --set gives alpha."""
    folds: int = 5
    """Of the cross-validation."""
    max_bags: int = 100_000
    """Bags learned from, at most, drawn by --seed. Of a bag at most max_instances are (--set)."""
    seed: int = 0
    """Of the folds, the draws, the resamples, and of WeakSTIL, unless --set random_state gives another."""


def main(config: Config) -> int:
    """Cross-validate and fit; a second start does both again."""
    from raypipe.classify.weakstil import WeakSTIL
    from raypipe.report import write_report

    stage, is_of_stage = stage_name(STAGE, config), "." in config.column
    model = seeded(made_with(WeakSTIL, config.set), config.seed)
    alphas = () if any(word.startswith("alpha=") for word in config.set) else config.alphas
    if config.alphas and min(config.alphas) < 0:
        raise ValueError(f"alphas must be at least 0, got {min(config.alphas)}.")
    if is_of_stage and not config.corpus:
        raise ValueError(f"a column of a stage needs --corpus, which the stage is of; got {config.column!r}.")
    if not is_of_stage:
        refuse_idle(config, [*names_of(CorpusSettings), "max_bags"], because="without a column of a stage")
    with life_of(config, "fit_bags", stages=[stage]) as life:
        numbers = bags.read_numbers(config.rows, config.number) if is_of_stage else {}
        life.begin()
        limits = {"max_instances": model.max_instances, "seed": config.seed}
        if is_of_stage:
            found = bags.bags_of_stage(
                numbers, life, stage_name(NUMBERED, config), column=config.column, corpus=config.to_corpus(),
                max_bags=config.max_bags, **limits,
            )  # fmt: skip
        else:
            found = bags.bags_of_files(config.rows, number=config.number, column=config.column, **limits)
        folder, card = life.run / stage, {"stage": stage, "kind": "classifier"}
        with at_work(folder, {**card, "identity": {"bags_sha256": found.sha256}}) as own, life.at_once():
            judged = bags.evaluate(model, found, alphas=alphas, folds=config.folds, seed=config.seed)
            bags.fit_and_save(model, found, judged, folder, alphas=alphas, seed=config.seed)
            own["counts"] = {"rows": len(found.y), "left_out": found.n_left_out}
        print("\n".join(bags.lines_of(judged)))
        print(f"Scorer: {folder.uri}")
        life.conclude()  # before the report, which says so
        print(f"Report: {write_report(life.run).removeprefix('file://')}")
    return life.status


if __name__ == "__main__":
    run_job(lambda: main(settings.parse(Config)))
