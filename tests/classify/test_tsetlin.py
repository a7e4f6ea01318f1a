import numpy as np
import pytest
from scipy.sparse import csr_matrix
from sklearn.linear_model import LogisticRegression

from raypipe.classify.bits import unpacked
from raypipe.classify.tsetlin import TsetlinMachine


def xor(n: int, *, flipped: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Twelve bits [n, 12], and which of the first two is 1 alone [n], with some labels flipped."""
    rng = np.random.default_rng(seed)
    X = rng.integers(0, 2, (n, 12))
    y = X[:, 0] ^ X[:, 1]
    return X, np.where(rng.random(n) < flipped, 1 - y, y)


def lengths(model: TsetlinMachine) -> np.ndarray:
    return np.bitwise_count(model.include_).sum(axis=2)


@pytest.mark.learns
def test_it_finds_xor_under_noise_and_says_so_in_clauses() -> None:
    X, y = xor(2000, flipped=0.2)
    X_test, y_test = xor(500, flipped=0.0, seed=1)
    model = TsetlinMachine(n_clauses=60, T=15, s=3.9, n_epochs=3, random_state=0).fit(X, y)
    assert model.score(X_test, y_test) >= 0.98
    assert LogisticRegression().fit(X, y).score(X_test, y_test) < 0.65
    of_one = [one["clause"] for one in model.clauses(X_test, y_test) if (one["class"], one["side"]) == (1, "for")]
    assert {"x0 > 0 and x1 <= 0", "x0 <= 0 and x1 > 0"} & set(of_one[:3])
    assert model.explain(X_test[y_test == 1][:1])[0].startswith("1: ")


def test_a_clause_s_support_and_precision_are_those_of_the_rows_given() -> None:
    X, y = xor(600, flipped=0.0)
    model = TsetlinMachine(n_clauses=10, n_epochs=2, random_state=0).fit(X, y)
    found = model.clauses(X[:200], y[:200])
    assert [one["precision"] for one in found] == sorted((one["precision"] for one in found), reverse=True)
    for one in found[:5]:
        held = np.ones(200, bool)
        for test in one["clause"].split(" and "):
            name, op, _ = test.split()
            held &= X[:200, int(name[1:])] == (op == ">")
        assert one["support"] == held.mean()
        is_of = y[:200][held] == one["class"]
        assert one["precision"] == pytest.approx(np.mean(is_of == (one["side"] == "for")))


def test_votes_are_those_of_clauses_evaluated_one_by_one() -> None:
    X, y = xor(300, flipped=0.0)
    model = TsetlinMachine(n_clauses=6, n_epochs=1, random_state=0).fit(X, y)
    bits = np.concatenate([X[:20] > 0, X[:20] == 0], axis=1)
    slow = np.zeros((20, 2))
    for of in range(2):
        for number in range(6):
            include = unpacked(model.include_[of, number], 24)
            if include.any():
                slow[:, of] += (1 if number % 2 == 0 else -1) * bits[:, include].all(axis=1)
    assert (model.votes(X[:20]) == slow).all()
    model.include_ = np.zeros_like(model.include_)
    assert (model.votes(X) == 0).all()  # an empty clause says nothing


def test_a_greater_s_makes_longer_clauses() -> None:
    rng = np.random.default_rng(0)
    X = rng.integers(0, 2, (400, 20))
    y = (X[:, :5].sum(axis=1) > 2).astype(int)
    means = [
        lengths(TsetlinMachine(n_clauses=20, s=s, n_epochs=3, random_state=0).fit(X, y)).mean() for s in (2, 5, 27)
    ]
    assert means[0] < means[1] < means[2]


def test_fewer_clauses_are_taught_as_votes_reach_the_margin() -> None:
    X, y = xor(300, flipped=0.0)
    model = TsetlinMachine(n_clauses=60, T=5, s=3.9, n_epochs=8, random_state=0).fit(X, y)
    assert model.updated_.shape == (8,)
    assert 0.2 < model.updated_[0] < 0.55
    assert model.updated_[-1] < model.updated_[0] / 2


def test_a_budget_bounds_every_clause() -> None:
    X, y = xor(200, flipped=0.1)
    free, bounded = (
        lengths(TsetlinMachine(n_clauses=10, s=20, n_epochs=3, max_literals=most, random_state=0).fit(X, y))
        for most in (None, 3)
    )
    assert free.max() > 3
    assert bounded.max() == 3


def test_numbers_are_learnt_by_thresholds_and_the_best_bits_are_kept() -> None:
    rng = np.random.default_rng(0)
    X = rng.normal(size=(400, 6))
    y = (X[:, 2] > 0.3).astype(int)
    model = TsetlinMachine(n_clauses=40, n_epochs=3, max_features=4, random_state=0).fit(X[:300], y[:300])
    assert set(model.thresholds_.column) == {2}
    assert model.score(X[300:], y[300:]) > 0.93
    assert model.clauses(X[300:], y[300:], list("abcdef"))[0]["clause"].startswith("c ")


def test_words_in_csr_are_learnt_by_whether_they_are_there() -> None:
    rng = np.random.default_rng(0)
    counts = rng.poisson(0.5, (300, 30))
    y = ((counts[:, 3] > 0) & (counts[:, 7] == 0)).astype(int)
    settings = {"n_clauses": 40, "n_epochs": 10, "random_state": 0}
    of_words = TsetlinMachine(**settings).fit(csr_matrix(counts[:200]), y[:200])
    of_bits = TsetlinMachine(**settings).fit(counts[:200] > 0, y[:200])
    assert (of_words.votes(csr_matrix(counts)) == of_bits.votes(counts > 0)).all()
    assert (of_words.votes(counts) == of_words.votes(csr_matrix(counts))).all()
    assert of_words.score(csr_matrix(counts[200:]), y[200:]) > 0.9
    names = [f"w{at}" for at in range(30)]
    assert of_words.explain(csr_matrix(counts), names) == of_words.explain(counts, names)
    few = TsetlinMachine(**settings, max_features=2).fit(csr_matrix(counts), y)
    assert few.thresholds_.column.tolist() == [3, 7]
    said = {part for one in few.clauses(csr_matrix(counts), y, names) for part in one["clause"].split(" and ")}
    assert said <= {"w3 > 0", "w3 <= 0", "w7 > 0", "w7 <= 0"}


def test_three_classes_are_told_and_one_is_right() -> None:
    rng = np.random.default_rng(0)
    y = rng.integers(0, 3, 400)
    X = np.eye(3)[y] + rng.normal(size=(400, 3)) * 0.25
    model = TsetlinMachine(n_clauses=100, n_epochs=3, random_state=0).fit(X[:300], y[:300])
    assert model.score(X[300:], y[300:]) > 0.9
    assert TsetlinMachine(n_epochs=1).fit(X[:9], ["a"] * 9).predict(X[:2]).tolist() == ["a", "a"]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"n_clauses": 5}, "n_clauses must be even and at least 2, got 5"),
        ({"s": 0.5}, "s must be at least 1, got 0.5"),
        ({"T": 0}, "T must be at least 1, got 0"),
        ({"max_literals": 0}, "max_literals must be at least 1, got 0"),
        ({"state_bits": 1}, "state_bits must be at least 2, got 1"),
    ],
)
def test_wrong_settings_are_refused(settings: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        TsetlinMachine(**settings).fit([[0.0], [1.0]], [0, 1])


def test_names_must_be_of_all_columns() -> None:
    model = TsetlinMachine(n_epochs=1).fit([[0.0], [1.0]], [0, 1])
    with pytest.raises(ValueError, match="names must be of 1 columns, got 2"):
        model.explain([[0.0]], ["a", "b"])
