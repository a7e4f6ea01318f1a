"""Fit a classifier on labelled rows: python -m jobs.fit_classifier --rows R.jsonl --method M --output RUN.

One column of texts is read as words; columns of numbers, categories and vectors are read as they are (--columns);
STAGE.COLUMN are columns of the run's stages, for rows with an id. The method is cross-validated beside logistic
regression, nearest centroid and the majority, then fitted on all rows: RUN/classifier holds estimator.json,
state.safetensors and evaluation.json, and `classify_corpus` takes it over a corpus. Of `ss3` there is in_colour.html,
texts with the words and sentences tinted that spoke for their class; of `fold-se` and `tsetlin` on columns
functions.yaml, their rules as labelling functions for `label_corpus`; of `rcal` cleaned.jsonl and left_out.jsonl, the
rows that it learned from and those whose label it took for wrong, to finetune or fit on. Where the label is a list, a
row has many labels: `category-queries` and `one-vs-all` learn each for itself, and which probability is enough to say
one.
"""

from dataclasses import dataclass

from raypipe.classify.methods import MethodName, method_class
from raypipe.contracts.estimator import Estimator
from raypipe.runs.life import Life
from raypipe.runs.stage import at_work
from raypipe.settings.estimators import made_with

from .parts import fitting, judging, many_labels, settings
from .parts.classifiers import seeded
from .parts.common import RunSettings, life_of, run_job, stage_name
from .parts.label_lists import are_lists
from .parts.pictures import PatchShape, draws

STAGE = "classifier"


@dataclass(frozen=True, kw_only=True)
class Config(fitting.FitSettings, RunSettings):
    """Settings of fit_classifier."""

    method: MethodName = "logistic-regression"
    """What is fitted."""
    set: tuple[str, ...] = ()
    """NAME=VALUE each: settings of the method. Repeatable."""
    patch: str | None = None
    """HEIGHTxWIDTH (grey) or HEIGHTxWIDTHx3 of the patch of an image that each vector begins with, row by row, channels
    last: the report draws the parts of a decision (st-protopnet)."""


def main(config: Config) -> int:
    """Cross-validate and fit; a second start does both again."""
    from raypipe.report import write_report

    stage = stage_name(STAGE, config)
    kind = method_class(config.method)
    estimator = seeded(made_with(kind, config.set), config.seed)
    fitting.check(config)
    patch = _patch(config, type(estimator))
    if has_lists := are_lists(config.rows, config.label_column):
        many_labels.check_many(config.method, kind, config)
    with life_of(config, "fit_classifier", stages=[stage]) as life:
        life.begin()
        lines = _fit_many(config, estimator, life, stage) if has_lists else _fit(config, estimator, life, stage, patch)
        print("\n".join(lines))
        print(f"Classifier: {(life.run / stage).uri}")
        life.conclude()  # before the report, which says so
        print(f"Report: {write_report(life.run).removeprefix('file://')}")
    return life.status


def _patch(config: Config, kind: type[Estimator]) -> PatchShape | None:
    """The shape of patches.

    Raises
    ------
    ValueError
        If it is none, or nothing would be drawn.
    """
    if config.patch is None:
        return None
    if not draws(kind) or config.columns == ("text",) or config.soft_labels is not None:
        raise ValueError(
            "patch is for pictures of --method st-protopnet on a column of lists of patches (--columns), with labels "
            f"that are known; got {config.patch!r} with --method {config.method}."
        )
    return PatchShape.of(config.patch)


def _fit(config: Config, estimator: Estimator, life: Life, stage: str, patch: PatchShape | None) -> list[str]:
    """Of rows with one label each; what is said of it."""
    folder, card = life.run / stage, {"stage": stage, "kind": "classifier"}
    rows = fitting.read_rows(config, estimator, life, stage_name(fitting.LABELLED, config))
    if patch is not None:
        patch.check_fits(len(rows.feed.feature_names))
    with at_work(folder, {**card, "identity": rows.identity}) as own, life.at_once():
        found = judging.evaluate(config.method, estimator, rows, config, patch=patch)
        seed = config.seed if config.calibrate else None
        fitting.forget_what_was_shown(folder)
        fitting.fit_and_save(estimator, rows, found, folder, calibration_seed=seed)
        own["counts"] = {"rows": len(rows.y), "unknown": len(rows.unknown), "left_out": rows.left_out}
    return judging.lines_of(found)


def _fit_many(config: Config, estimator: Estimator, life: Life, stage: str) -> list[str]:
    """Of rows with lists of labels; what is said of it."""
    folder, card = life.run / stage, {"stage": stage, "kind": "classifier"}
    rows = many_labels.read_many(config, estimator, life, stage_name(fitting.LABELLED, config))
    with at_work(folder, {**card, "identity": rows.identity}) as own, life.at_once():
        fitting.forget_what_was_shown(folder)
        found = many_labels.judge_and_fit(config.method, estimator, rows, config, folder)
        own["counts"] = {"rows": found["n"], "labels": found["n_labels"], "left_out": rows.left_out}
    return many_labels.lines_of_many(found)


if __name__ == "__main__":
    run_job(lambda: main(settings.parse(Config)))
