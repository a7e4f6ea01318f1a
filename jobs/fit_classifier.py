"""Fit a classifier on labelled rows: python -m jobs.fit_classifier --rows R.jsonl --method M --output RUN.

One column of texts is read as words; columns of numbers, categories and vectors are read as they are (--columns);
STAGE.COLUMN are columns of the run's stages, for rows with an id. The method is cross-validated beside logistic
regression, nearest centroid and the majority, then fitted on all rows: RUN/classifier holds estimator.json,
state.safetensors and evaluation.json, and `classify_corpus` takes it over a corpus. Of `ss3` there is in_colour.html,
texts with the words and sentences tinted that spoke for their class; of `fold-se` and `tsetlin` on columns
functions.yaml, their rules as labelling functions for `label_corpus`.
"""

from dataclasses import dataclass

from raypipe.classify.methods import MethodName, method_class
from raypipe.contracts.estimator import Estimator
from raypipe.runs.stage import at_work
from raypipe.settings.estimators import made_with

from .parts import fitting, judging, settings
from .parts.classifiers import seeded
from .parts.common import RunSettings, life_of, run_job, stage_name
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
    estimator = seeded(made_with(method_class(config.method), config.set), config.seed)
    fitting.check(config)
    patch = _patch(config, type(estimator))
    with life_of(config, "fit_classifier", stages=[stage]) as life:
        life.begin()
        folder, card = life.run / stage, {"stage": stage, "kind": "classifier"}
        rows = fitting.read_rows(config, estimator, life, stage_name(fitting.LABELLED, config))
        if patch is not None:
            patch.check_fits(len(rows.feed.feature_names))
        with at_work(folder, {**card, "identity": rows.identity}) as own, life.at_once():
            found = judging.evaluate(config.method, estimator, rows, config, patch=patch)
            seed = config.seed if config.calibrate else None
            fitting.fit_and_save(estimator, rows, found, folder, calibration_seed=seed)
            own["counts"] = {"rows": len(rows.y), "unknown": len(rows.unknown), "left_out": rows.left_out}
        print("\n".join(judging.lines_of(found)))
        print(f"Classifier: {folder.uri}")
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


if __name__ == "__main__":
    run_job(lambda: main(settings.parse(Config)))
