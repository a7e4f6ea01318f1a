"""LIMIT: what free vectors, a construction and patterns of relevance give; the figures are the dossier's."""

from itertools import combinations

import numpy as np
import pytest
import torch

from raypipe.evaluate.limit.free_embedding import FreeEmbedding, share_in_first_k
from raypipe.evaluate.limit.moment_curve import documents, margins, queries
from raypipe.evaluate.limit.patterns import cycle, dense, disjoint, random_pairs, relevance


@pytest.mark.parametrize("n", [46, 200])
def test_four_dimensions_return_every_pair_by_the_moment_curve(n: int) -> None:
    pairs = np.array([*combinations(range(n), 2)])
    found = margins(queries(pairs, n=n) @ documents(n).T, relevance(pairs, n_documents=n))
    assert len(found) == n * (n - 1) // 2
    assert found.min() > 0
    assert np.median(found) < 1e-2  # all is right, by next to nothing


def test_six_dimensions_return_every_triple() -> None:
    triples = np.array([*combinations(range(14), 3)])
    score = queries(triples, n=14) @ documents(14, k=3).T
    assert margins(score, relevance(triples, n_documents=14)).min() > 0


def test_a_query_of_the_curve_is_its_polynomial_without_the_constant() -> None:
    t = np.linspace(-1, 1, 9)
    score = (queries(np.array([[2, 5]]), n=9) @ documents(9).T)[0]
    expected = -((t - t[2]) ** 2) * (t - t[5]) ** 2
    np.testing.assert_allclose(score - score[2], expected - expected[2], atol=1e-12)


def test_the_loss_and_its_gradients_are_those_of_torch() -> None:
    rng = np.random.default_rng(0)
    U, V, relevant = rng.normal(size=(6, 3)), rng.normal(size=(4, 3)), relevance(dense(6), n_documents=4)
    loss, gradients = FreeEmbedding()._loss(U, V, relevant)
    u, v = (torch.tensor(X, requires_grad=True) for X in (U, V))
    expected = -torch.log_softmax(u @ v.T / 0.1, dim=1)[torch.tensor(relevant)].mean()
    expected.backward()
    assert loss == pytest.approx(expected.item())
    for found, of in zip(gradients, (u, v), strict=True):
        np.testing.assert_allclose(found, of.grad, rtol=1e-6)


def test_steps_are_those_of_torch_adam() -> None:
    rng, free = np.random.default_rng(0), FreeEmbedding()
    X, x = rng.normal(size=(3, 2)), None
    x = torch.tensor(X, requires_grad=True)
    adam, moment = torch.optim.Adam([x], lr=0.01), (np.zeros_like(X), np.zeros_like(X))
    for step in range(1, 5):
        gradient = rng.normal(size=X.shape)
        X = X - free._adam(moment, gradient, step)
        x.grad = torch.tensor(gradient)
        adam.step()
    np.testing.assert_allclose(X, x.detach().numpy(), rtol=1e-9)


def test_two_dimensions_tell_the_pairs_of_three_documents_apart_and_not_of_six() -> None:
    free = FreeEmbedding()
    found = [free.accuracy(3, 2, seed=seed) for seed in range(5)]
    assert max(found) == 1.0  # training may end elsewhere
    assert max(free.accuracy(6, 2, seed=seed) for seed in range(3)) < 1.0
    assert found[3] == free.accuracy(3, 2, seed=3)


def test_the_critical_number_is_the_last_that_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(FreeEmbedding, "accuracy", lambda _, n, d, *, seed: float(n in (3, 4, 5, 8)))
    assert [FreeEmbedding().critical_n(2, start=start, seed=0) for start in (3, 7, 12)] == [8, 8, 8]
    assert FreeEmbedding().critical_n(2, start=5, seed=0, tries=2) == 5


def test_no_number_is_tried_twice_and_none_that_fails_is_critical(monkeypatch: pytest.MonkeyPatch) -> None:
    tried = []
    monkeypatch.setattr(FreeEmbedding, "accuracy", lambda _, n, d, *, seed: float(tried.append(n) or False))
    assert FreeEmbedding().critical_n(1, start=4, seed=0) == 2  # two of two are always first
    assert sorted(tried) == [3, 4, 5]


def test_a_tie_at_the_border_counts_against() -> None:
    relevant = np.array([[True, True, False, False]])
    assert share_in_first_k(np.array([[3.0, 2.0, 1.0, 0.0]]), relevant, k=2) == 1.0
    assert share_in_first_k(np.array([[3.0, 1.0, 1.0, 0.0]]), relevant, k=2) == 0.5


def test_patterns_have_as_many_queries_and_from_few_to_many_documents() -> None:
    of = {"dense": dense(1000), "random": random_pairs(1000, n_documents=46, seed=0), "cycle": cycle(1000)}
    of["disjoint"] = disjoint(1000)
    assert {len(pairs) for pairs in of.values()} == {1000}
    assert [int(pairs.max()) + 1 for pairs in of.values()] == [46, 46, 1000, 2000]
    for pairs in of.values():
        assert len({tuple(sorted(pair)) for pair in pairs.tolist()}) == 1000
        assert (relevance(pairs, n_documents=2000).sum(axis=1) == 2).all()


def test_bad_input_is_refused() -> None:
    with pytest.raises(ValueError, match=r"n must be above k \(2\)"):
        FreeEmbedding().accuracy(2, 3, seed=0)
    with pytest.raises(ValueError, match="at most the 3 pairs of 3, got 4"):
        random_pairs(4, n_documents=3, seed=0)
    with pytest.raises(ValueError, match="a relevant document and another one"):
        margins(np.zeros((1, 2)), np.ones((1, 2), bool))
