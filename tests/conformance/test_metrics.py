"""What every metric keeps to: better answers, a better number, in any order of rows; each check catches a wrong one.

A metric is a public function of `raypipe/evaluate` from what was predicted and what is true to numbers.
"""

import ast
import importlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from raypipe.evaluate.auroc import auroc, tpr_at_fpr
from raypipe.evaluate.bags import compare_bag_regressors
from raypipe.evaluate.classifiers import calibration_error
from raypipe.evaluate.comparison import compare
from raypipe.evaluate.erde import erde
from raypipe.evaluate.errors import compare_errors
from raypipe.evaluate.exact_match import exact_match
from raypipe.evaluate.membership import told_by
from raypipe.evaluate.oscr import oscr, oscr_estimate
from raypipe.evaluate.perplexity import DocumentLosses, by_domain
from raypipe.evaluate.recall_at_k import recall_at_k
from raypipe.evaluate.recovered_gap import recovered_gap
from raypipe.evaluate.retrieval import ndcg_of_first, recall_of_first, reciprocal_rank
from raypipe.evaluate.task_means import task_means

ROOT = Path(__file__).parents[2]
N = 240


@dataclass(frozen=True)
class Rows:
    """What is true of n rows, and answers of a quality from 0 (chance) to 1 (right)."""

    y: np.ndarray
    """[n] int, classes 0 to 2."""
    score: np.ndarray
    """[n] higher for rows of class 0."""
    right: np.ndarray
    """[n] bool."""
    order: np.ndarray


def rows(quality: float, *, n: int = N, turned: bool = False) -> Rows:
    rng = np.random.default_rng(0)
    y, noise, chance = rng.integers(0, 3, n), rng.normal(size=n), rng.random(n)
    order = np.random.default_rng(1).permutation(n) if turned else np.arange(n)
    score = (1 - quality) * noise + 3 * quality * (y == 0)
    made = Rows(y[order], score[order], (chance < 1 / 3 + quality * 2 / 3)[order], order)
    for array in (made.y, made.score, made.right):
        array.flags.writeable = False
    return made


def of_lists(r: Rows) -> float:
    given = [str(y if right else (y + 1) % 3) for y, right in zip(r.y, r.right, strict=True)]
    right = exact_match(given, [[str(y)] for y in r.y])
    if not len(right):
        raise ValueError("of no answers there is no share; exact_match itself gives none")
    return float(right.mean())


def of_queries(r: Rows) -> float:
    whole = np.empty(len(r.y))
    whole[r.order] = r.score  # documents in their own order; queries are what is turned
    truth = np.empty(len(r.y), int)
    truth[r.order] = r.y
    n = len(r.y) // 8
    score, relevant = whole[: n * 8].reshape(8, n), truth[: n * 8].reshape(8, n) == 0
    turn = np.argsort(r.order[:8])
    return float(np.nanmean(recall_at_k(score[turn], relevant[turn], k=5)))


def of_rankings(measure: Callable[..., np.ndarray], r: Rows) -> float:
    """Documents ranked by their score, of eight queries; those of class 0 are relevant."""
    whole, truth = np.empty(len(r.y)), np.empty(len(r.y), int)
    score = r.score + 1.5 * (r.y == 1)  # else one that is relevant comes first too soon
    whole[r.order], truth[r.order] = score, r.y
    n = len(r.y) // 8
    score, gain = whole[: n * 8].reshape(8, n), (truth[: n * 8].reshape(8, n) == 0).astype(float)
    if not n:
        raise ValueError("of no documents there is no ranking; the measures themselves give none")
    ranked = np.take_along_axis(gain, np.argsort(-score, axis=1, kind="stable"), axis=1)
    turn = np.argsort(r.order[:8])
    return float(np.nanmean(measure(ranked[turn], gain[turn], k=5)))


def of_open_set(r: Rows) -> float:
    known = r.y == 0
    return oscr(r.score[known], r.right[known], r.score[~known])


def of_an_interval(r: Rows) -> float:
    known = r.y == 0
    return oscr_estimate(r.score[known], r.right[known], r.score[~known]).low


def of_numbers(r: Rows) -> float:
    wrong = r.y + np.where(r.right, 0.0, 1.0)
    found = compare_errors({"ours": wrong, "zero": np.zeros(len(r.y))}, r.y.astype(float), ours="ours")
    return -float(found["mean_absolute_error"]["ours"]["mean"])


def of_contenders(r: Rows) -> float:
    n = len(r.y)
    cases = [f"c{at}" for at in r.order]
    found = compare(
        {"ours": r.right, "none": np.zeros(n, bool)}, task=["t"] * n, case=cases, label=[str(y) for y in r.y],
        ours="ours",
    )  # fmt: skip
    return float(found["mean_over_tasks"]["accuracy"]["ours"]["mean"])


def of_students(r: Rows) -> float:
    """The student's gap over two seeds; weak is right on a third, the ceiling always."""
    n = len(r.y)
    weak = np.stack([r.order % 3 == 0, r.order % 3 == 1])
    found = recovered_gap(weak, np.stack([r.right | weak[0], r.right | weak[1]]), np.ones((2, n), bool))
    return float(np.nan if found.pgr is None else found.pgr)


def of_documents(r: Rows) -> float:
    losses = np.where(r.right, 1.0, 3.0)
    n_tokens = np.full(len(r.y), 10)
    found = by_domain(documents(losses, n_tokens), [f"d{y}" for y in r.y])
    return -float(found["all"]["loss"]["mean"])


def documents(losses: np.ndarray, n_tokens: np.ndarray) -> DocumentLosses:
    return DocumentLosses(losses, n_tokens, 4 * n_tokens)


def of_tasks(r: Rows) -> float:
    found = task_means(r.right[None], task=["t"] * len(r.y), case=[f"c{at}" for at in r.order])
    return float(found.mean(0).mean)


Metric = Callable[[Rows], float]
"""Of rows and answers the metric's number, turned so that more is better."""


def of_bags(r: Rows) -> float:
    found = compare_bag_regressors({"score": r.score}, (r.y == 0).astype(float), ours="score", n_resamples=50)
    return found["contenders"]["score"]["spearman"]["mean"]


METRICS: dict[str, Metric] = {
    "compare_bag_regressors": of_bags,
    "auroc": lambda r: auroc(r.score, r.y == 0).auroc,
    "tpr_at_fpr": lambda r: tpr_at_fpr(r.score, r.y == 0),
    "told_by": lambda r: told_by({"score": r.score}, r.y == 0, ["word"] * len(r.y))["score"].auroc,
    "exact_match": of_lists,
    "recall_at_k": of_queries,
    "ndcg_of_first": lambda r: of_rankings(ndcg_of_first, r),
    "recall_of_first": lambda r: of_rankings(recall_of_first, r),
    "reciprocal_rank": lambda r: of_rankings(reciprocal_rank, r),
    "oscr": of_open_set,
    "oscr_estimate": of_an_interval,
    "calibration_error": lambda r: -calibration_error(np.ones(len(r.y)), r.right),
    "compare_errors": of_numbers,
    "erde": lambda r: -erde(r.y == 0, r.right == (r.y == 0), np.ones(len(r.y)), deadline=5),
    "compare": of_contenders,
    "recovered_gap": of_students,
    "by_domain": of_documents,
    "task_means": of_tasks,
}
PARTS = {"explained", "gap_error", "ratio_interval"}
"""Functions of arrays that are a part of one above."""


def is_better_for_better_answers(metric: Metric) -> None:
    found = [metric(rows(quality)) for quality in (0.05, 0.5, 1.0)]
    assert found[0] < found[1] < found[2]


def is_the_same_for_the_same_rows_in_any_order(metric: Metric) -> None:
    first = metric(rows(0.5))
    assert metric(rows(0.5)) == first
    assert metric(rows(0.5, turned=True)) == pytest.approx(first, rel=1e-9)


def refuses_no_rows(metric: Metric) -> None:
    with pytest.raises(ValueError):
        metric(rows(0.5, n=0))


def is_a_number_in_its_range(metric: Metric) -> None:
    """Shares are in [0, 1], losses and errors (turned) at most 0; of a few rows as of many."""
    for n in (24, N):
        for quality in (0.05, 1.0):
            assert -5 <= metric(rows(quality, n=n)) <= 1


CHECKS = [
    is_better_for_better_answers,
    is_the_same_for_the_same_rows_in_any_order,
    refuses_no_rows,
    is_a_number_in_its_range,
]


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("name", METRICS)
def test_a_metric(name: str, check: Callable[[Metric], None]) -> None:
    check(METRICS[name])


def arrays_of(function: ast.FunctionDef) -> int:
    """How many arrays it takes, or mappings to arrays."""
    given = [*function.args.args, *function.args.kwonlyargs]
    return sum("np.ndarray" in ast.unparse(one.annotation) for one in given if one.annotation)


def test_all_are_found() -> None:
    """A public function of raypipe/evaluate that takes what was predicted and what is true as arrays is one above."""
    for path in sorted((ROOT / "raypipe/evaluate").glob("*.py")):
        functions = [node for node in ast.parse(path.read_text()).body if isinstance(node, ast.FunctionDef)]
        found = {one.name for one in functions if not one.name.startswith("_") and arrays_of(one) > 1} - PARTS
        assert found <= set(METRICS), f"give {sorted(found - set(METRICS))} of {path.name} an example above."
        if {one.name for one in functions} & set(METRICS):
            head = importlib.import_module(f"raypipe.evaluate.{path.stem}").__doc__ or ""
            assert "\nSource: " in head, path.name
            assert "\nCost: " in head, path.name


def right(r: Rows) -> float:
    """The share of right answers; the wrong ones below change one thing each."""
    if not len(r.y):
        raise ValueError("there must be at least one row, got none.")
    return float(r.right.mean())


def writes(r: Rows) -> float:
    r.score[:] = 0
    return right(r)


@pytest.mark.parametrize(
    ("wrong", "check"),
    [
        (lambda r: -right(r), is_better_for_better_answers),
        (lambda r: right(r) + 1e-3 * r.score[0], is_the_same_for_the_same_rows_in_any_order),
        (lambda r: right(r) + 1e-3 * np.random.default_rng().random(), is_the_same_for_the_same_rows_in_any_order),
        (writes, is_the_same_for_the_same_rows_in_any_order),
        (lambda r: float(np.nan_to_num(r.right.sum() / max(1, len(r.y)))), refuses_no_rows),
        (lambda r: 100 * right(r), is_a_number_in_its_range),
    ],
)
def test_a_wrong_one_is_caught(wrong: Metric, check: Callable[[Metric], Any]) -> None:
    with pytest.raises((AssertionError, ValueError, pytest.fail.Exception)):
        check(wrong)
    check(right)
