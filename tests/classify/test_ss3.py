import numpy as np
import pytest
from scipy.sparse import csr_array, csr_matrix
from sklearn.exceptions import NotFittedError

from raypipe.classify.ss3 import SS3
from tests.classify.word_tables import SETTINGS, SIZES, counts_of, stored, texts_of

MODES = {
    "vanilla": {"significance": "paper"}, "xai": {"significance": "guarded"}, "gv": {"confidence": "global"},
    "norm_gv": {"confidence": "normalised"}, "norm_gv_xai": {"confidence": "normalised"},
}  # fmt: skip


def fitted(name: str) -> SS3:
    """With the settings of a stored set, one text a class."""
    given = SETTINGS[name]
    modes = MODES[given["sg_m"]] | MODES[given["cv_m"]]
    model = SS3(smoothness=given["s"], significance_level=given["l"], sanction_level=given["p"], **modes)
    return model.fit(counts_of(name), np.arange(SIZES[name][0]))


@pytest.fixture
def topics() -> tuple[np.ndarray, np.ndarray]:
    """Counts [240, 60] of texts of three classes."""
    rng = np.random.default_rng(0)
    y = rng.integers(0, 3, 240)
    rates = np.exp(rng.normal(size=(3, 60)) * 1.2)
    return rng.poisson(0.4 * rates[y]), y


@pytest.mark.parametrize("name", SETTINGS)
@pytest.mark.parametrize("value", ["lv", "sg", "sn", "gv", "cv"])
def test_each_value_of_a_word_is_pyss3_s(name: str, value: str) -> None:
    model = fitted(name)
    ours = {
        "lv": model.local_values, "sg": model.significances, "sn": model.sanctions, "gv": model.global_values,
        "cv": lambda: model.confidences().T,
    }[value]()  # fmt: skip
    seen = counts_of(name) > 0  # what it says of words that a class never saw, it doesn't use
    theirs = np.array(stored()["sets"][name]["values"][value])
    np.testing.assert_allclose(ours[seen], theirs[seen], atol=1e-9)
    assert len(np.unique(theirs[seen])) > 10 or value == "sn"


def test_a_thousand_pairs_are_compared() -> None:
    assert sum(int((counts_of(name) > 0).sum()) for name in SETTINGS) >= 1000


@pytest.mark.parametrize("name", SETTINGS)
def test_texts_have_the_classes_that_pyss3_gives_them(name: str) -> None:
    model, texts = fitted(name), texts_of(name)
    X = np.array([np.bincount(text, minlength=SIZES[name][1]) for text in texts])
    says_something = model.summed(X).sum(axis=1) > 0
    assert says_something.sum() > 15
    theirs = np.array(stored()["sets"][name]["said"])
    assert (model.predict(X) == theirs)[says_something].all()


@pytest.mark.parametrize("n_shards", [1, 4, 8])
def test_any_number_of_shards_gives_the_same_to_the_bit(topics, n_shards: int) -> None:
    X, y = topics
    whole = SS3().fit(X, y)
    parts = [SS3().fit(X[rows], y[rows]) for rows in np.array_split(np.arange(len(X)), n_shards)]
    merged = parts[-1]
    for part in parts[:-1]:
        merged.merge(part)
    assert (merged.predict_proba(X) == whole.predict_proba(X)).all()


def test_learning_bit_by_bit_is_learning_at_once(topics) -> None:
    X, y = topics
    model = SS3().partial_fit(X[:1], y[:1], classes=np.arange(3))
    for row in range(1, len(X)):
        model.partial_fit(X[row : row + 1], y[row : row + 1])
    assert (model.counts_ == SS3().fit(X, y).counts_).all()


def test_sparse_counts_are_read_as_dense_ones(topics) -> None:
    X, y = topics
    dense = SS3().fit(X, y)
    for kind in (csr_matrix, csr_array):
        sparse = SS3().fit(kind(X), y)
        np.testing.assert_allclose(sparse.predict_proba(kind(X)), dense.predict_proba(X), atol=1e-12)
    words = [f"w{word}" for word in range(60)]
    assert dense.explain(X[:3], words) == dense.explain(csr_matrix(X[:3]), words)


def test_it_tells_topics_about_as_well_as_naive_bayes(topics) -> None:
    from sklearn.naive_bayes import MultinomialNB

    X, y = topics
    ours, theirs = (model.fit(X[:160], y[:160]).score(X[160:], y[160:]) for model in (SS3(), MultinomialNB()))
    assert theirs > 0.8
    assert ours > theirs - 0.1


def test_the_explanation_adds_up_to_the_decision(topics) -> None:
    X, y = topics
    model = SS3().fit(X, y)
    names = [f"w{word}" for word in range(60)]
    said = model.explain(X[:5], names, n_words=60)
    for one, sums, of in zip(said, model.summed(X[:5]), model.predict(X[:5]), strict=True):
        head, _, words = one.partition(": ")
        assert head == str(of)
        assert sum(float(word.split()[1]) for word in words.split(", ")) == pytest.approx(sums.max(), abs=0.03)


def test_a_text_that_says_nothing_gets_the_class_with_most_words() -> None:
    model = SS3().fit([[9, 0, 0], [0, 4, 0]], ["long", "short"])
    assert model.predict([[0, 0, 5]]).tolist() == ["long"]
    np.testing.assert_allclose(model.predict_proba([[0, 0, 0]]), [[9 / 13, 4 / 13]])
    assert model.explain([[0, 0, 1]], ["a", "b", "c"]) == ["long: no word says anything"]


def test_words_seen_once_are_noise() -> None:
    model = SS3().fit([[5, 1], [1, 5]], ["a", "b"])
    assert model.local_values().tolist() == [[1, 0], [0, 1]]


def test_bad_input_is_refused() -> None:
    with pytest.raises(ValueError, match="Negative values"):
        SS3().fit([[-1.0, 2.0]], [0])
    with pytest.raises(ValueError, match="sanction_level must be at least 0, got -1"):
        SS3(sanction_level=-1).fit([[1.0, 2.0]], [0])
    with pytest.raises(NotFittedError):
        SS3().confidences()


def test_confidences_are_kept_until_more_is_learnt_or_another_setting_holds(topics) -> None:
    X, y = topics
    model = SS3().fit(X[:100], y[:100])
    before = model.confidences()
    assert model.confidences() is before
    model.partial_fit(X[100:], y[100:])
    np.testing.assert_array_equal(model.confidences(), SS3().fit(X, y).confidences())
    model.set_params(sanction_level=2.0)
    np.testing.assert_array_equal(model.confidences(), SS3(sanction_level=2.0).fit(X, y).confidences())
    with pytest.raises(ValueError, match="read-only"):
        model.confidences()[0] = 1
