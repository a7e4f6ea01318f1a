"""How a classifier that is fitted fares: its cross-validation beside rivals, and what is printed of it."""

from typing import TYPE_CHECKING

from raypipe.contracts.estimator import Estimator, taken_by
from raypipe.fitting.inputs import Input, input_for
from raypipe.report.escape import terminal_text

from .fitting import FitSettings, FittingRows, Json
from .pictures import PatchShape

if TYPE_CHECKING:
    from raypipe.evaluate.soft_cross_validation import SoftRows

RIVALS = ("logistic-regression", "nearest-centroid")
MAJORITY = "majority"


def _feed(estimator: Estimator, rows: FittingRows, config: FitSettings) -> Input:
    """A new one, of what this estimator takes: each fold fits it anew."""
    return input_for(taken_by(type(estimator)), rows.known, rows.columns, n_dimensions=config.dimensions)


def evaluate(
    method: str, estimator: Estimator, rows: FittingRows, config: FitSettings, *, patch: PatchShape | None = None
) -> Json:
    """Cross-validation of a method beside its rivals and the majority, with intervals; pictures where vectors are."""
    if rows.soft is not None:
        return _evaluate_soft(method, estimator, rows, rows.soft, config)
    from raypipe.classify.methods import method_class
    from raypipe.evaluate.classifiers import compare_classifiers
    from raypipe.evaluate.cross_validation import KnownRows, cross_validated, folds_of, majority_answers

    from .shown import shown

    labelled = KnownRows(rows.known, rows.y, rows.unknown, tuple(rows.classes), rows.beside)
    folds = folds_of(labelled, n_folds=config.folds, seed=config.seed)
    contenders = {method: estimator, **{name: method_class(name)() for name in RIVALS if name != method}}
    answers = {}
    for name, one in contenders.items():
        seed = config.seed if config.calibrate else None
        answers[name] = cross_validated(one, _feed(one, rows, config), labelled, folds, calibration_seed=seed)
    answers[MAJORITY] = majority_answers(labelled, folds)
    found = compare_classifiers(answers, rows.y, rows.classes, ours=method, seed=config.seed)
    found |= shown(
        estimator, _feed(estimator, rows, config), labelled, n_folds=config.folds, seed=config.seed, patch=patch
    )
    found |= {"folds": config.folds, "seed": config.seed, "left_out": rows.left_out}
    return found if rows.beside.unlabelled is None else found | {"n_unlabelled": len(rows.beside.unlabelled)}


def _evaluate_soft(method: str, estimator: Estimator, rows: FittingRows, soft: "SoftRows", config: FitSettings) -> Json:
    """On the rows whose truth is known: the method on probabilities, on the truth, the labels alone, the majority."""
    from raypipe.evaluate import soft_cross_validation as judging
    from raypipe.evaluate.classifiers import compare_classifiers

    about = {"left_out": rows.left_out, "n_learned": int(soft.covered.sum())}
    if not len(soft.judged):
        return about
    folds = judging.soft_folds(soft, n_folds=config.folds, seed=config.seed)
    feed = _feed(estimator, rows, config)
    answers = {
        method: judging.soft_answers(estimator, feed, soft, folds),
        f"{method} on the truth": judging.true_answers(estimator, feed, soft, folds),
        "labels alone": judging.labels_alone(soft),
        MAJORITY: judging.majority_alone(soft, folds),
    }
    found = compare_classifiers(answers, soft.truth[soft.judged], rows.classes, ours=method, seed=config.seed)
    return {**found, "folds": config.folds, "seed": config.seed, **about}


def lines_of(found: Json) -> list[str]:
    """The measures of each contender, for the terminal."""
    softly = [f"learned from the class probabilities of {found['n_learned']:,} rows"] if "n_learned" in found else []
    if "contenders" not in found:
        return [*softly, "no row has a label to judge by"]
    measures = [name for name in ("accuracy", "balanced_accuracy", "calibration_error", "auc", "auroc", "oscr")
                if name in found["contenders"][found["ours"]]]  # fmt: skip
    lines = [
        *softly,
        f"{found['n']:,} rows in {found['folds']} folds, {found['n_unknown']:,} of no class; 95 % intervals",
    ]
    if "n_unlabelled" in found:
        lines.append(f"{found['ours']} learns from {found['n_unlabelled']:,} rows without a label too")
    for name, of in found["contenders"].items():
        said = [f"{one.replace('_', ' ')} {of[one]['mean']:.3f} ({of[one]['low']:.3f} to {of[one]['high']:.3f})"
                for one in measures]  # fmt: skip
        lines.append(f"{name}: {', '.join(said)}")
    kept = found["contenders"][found["ours"]].get("threshold")
    if kept is not None:
        lines.append(
            f"familiarity from {kept['familiarity']:.4g} on: {kept['known_kept']:.0%} of known rows, "
            f"{kept['unknown_kept']['mean']:.0%} of unknown ones"
        )
    lines += [terminal_text(found["advice"])] if "advice" in found else []
    lines += [f"temperature {found['temperature']:.3g}"] if "temperature" in found else []
    lines += [f"left out: {n:,} rows, {terminal_text(why)}" for why, n in found["left_out"].items()]
    return lines
