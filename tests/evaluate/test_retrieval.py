"""Measures of ranked documents, beside what ir-measures and ranx gave once for the same judgements and run."""

import json
import math

import numpy as np
import pytest

from raypipe.evaluate.retrieval import means_over_queries, ndcg_of_first, recall_of_first, reciprocal_rank
from tests.evaluate.stored_retrieval import KS, STORED, asked, ours

PROGRAMS = json.loads(STORED.read_text())


@pytest.mark.parametrize("program", PROGRAMS["versions"])
def test_every_query_has_the_value_that_others_give_it(program: str) -> None:
    found, given = ours(), asked()
    n_compared = 0
    for name, values in PROGRAMS["measures"][program].items():
        for query, value in values.items():
            mine = found[name][query]
            if any(grade > 0 for grade in given["qrels"][query].values()):
                assert mine == pytest.approx(value, abs=1e-6)
                n_compared += 1
            else:
                assert math.isnan(mine)
                assert value == 0  # they take a query that nothing is relevant to as one that nothing is found for
    assert n_compared >= 30 * 3 * len(KS)


def test_the_first_of_two_relevant_documents_at_rank_two() -> None:
    gain, judged = np.array([[0.0, 2.0, 0.0, 1.0]]), np.array([[1.0, 2.0]])
    assert reciprocal_rank(gain, judged, k=4) == [0.5]
    assert reciprocal_rank(gain, judged, k=1) == [0.0]
    assert recall_of_first(gain, judged, k=3) == [0.5]
    best = 2 + 1 / math.log2(3)
    assert ndcg_of_first(gain, judged, k=4) == pytest.approx([(2 / math.log2(3) + 1 / math.log2(5)) / best])


def test_a_judgement_below_zero_is_not_relevant() -> None:
    gain, judged = np.array([[-1.0, 1.0]]), np.array([[1.0, -1.0]])
    assert ndcg_of_first(gain, judged, k=2) == pytest.approx([1 / math.log2(3)])
    assert recall_of_first(gain, judged, k=1) == [0.0]


def test_fewer_ranked_than_asked_for_is_none_beyond() -> None:
    gain, judged = np.zeros((1, 0)), np.ones((1, 1))
    assert [measure(gain, judged, k=5)[0] for measure in (ndcg_of_first, recall_of_first, reciprocal_rank)] == [0] * 3


def test_intervals_hold_the_mean_and_a_difference_is_paired() -> None:
    rng = np.random.default_rng(0)
    easy = rng.random(400)
    found = means_over_queries({"a": easy, "b": easy + 0.01, "difference": np.full(400, 0.01)}, seed=0)
    assert found["a"].low < found["a"].mean < found["a"].high
    half = 1.96 * easy.std() / 20
    assert found["a"].high - found["a"].mean == pytest.approx(half, rel=0.15)
    assert found["difference"].low == pytest.approx(0.01)
    assert means_over_queries({"a": easy}, seed=0)["a"] == means_over_queries({"a": easy}, seed=0)["a"]


def test_queries_that_cannot_be_judged_are_in_no_mean() -> None:
    assert means_over_queries({"a": np.array([1.0, np.nan, 0.0])})["a"].mean == 0.5


def test_bad_input_is_refused() -> None:
    with pytest.raises(ValueError, match="of the same queries, at least one, and k at least 1, got"):
        ndcg_of_first(np.zeros((2, 3)), np.zeros((1, 3)), k=1)
    with pytest.raises(ValueError, match="k 0"):
        recall_of_first(np.zeros((1, 3)), np.zeros((1, 3)), k=0)
    with pytest.raises(ValueError, match="must have a query to be the mean of"):
        means_over_queries({"a": np.array([np.nan])})
