"""The controls: the commonest answer, and word counts."""

import numpy as np
import pytest

from raypipe.train.choices.majority import majority_answers
from raypipe.train.choices.tf_idf import TfIdf, fit_logistic, tf_idf_answers
from tests.train.choices.questions import answered, question


def test_the_majority_is_the_commonest_answer_of_the_task_in_training():
    train = answered(["no", "no", "yes"]) + answered(["3", "5", "5"], task="count", choices=())
    asked = [question(task=task) for task in ("count", "colour", "unseen")]
    assert majority_answers(train, asked) == ["5", "no", None]


def test_ties_go_to_the_first_by_name_and_every_accepted_answer_counts():
    assert majority_answers(answered(["b", "a"]), [question()]) == ["a"]
    train = [question(answers=("a", "b")), question(answers=("b", "c")), question(answers=("c", "b"))]
    assert majority_answers(train, [question()]) == ["b"]


def texts(rng, n):
    words = np.array([f"word{at}" for at in range(30)])
    y = rng.integers(3, size=n)
    return [" ".join(rng.choice(words[5 * label : 5 * label + 15], size=8)) for label in y], y


def test_it_equals_scikit_learn():
    text = pytest.importorskip("sklearn.feature_extraction.text")
    linear = pytest.importorskip("sklearn.linear_model")
    rng = np.random.default_rng(0)
    (train, y), (test, _) = texts(rng, 120), texts(rng, 80)
    vectors, words = text.TfidfVectorizer().fit(train), TfIdf(train)
    assert words(test).toarray()[:, :-1] == pytest.approx(vectors.transform(test).toarray())
    theirs = linear.LogisticRegression(max_iter=1000, tol=1e-8).fit(vectors.transform(train), y)
    ours = words(test) @ fit_logistic(words(train), y, 3)
    expected = theirs.decision_function(vectors.transform(test))
    centred = ours - ours.mean(axis=1, keepdims=True)
    assert centred == pytest.approx(expected - expected.mean(axis=1, keepdims=True), abs=2e-3)


def test_each_task_learns_its_own_words():
    train = [question(task=task, text=f"{word} thing number {n}", row=n)
             for task in ("a", "b") for n in range(12) for word in ("sky", "fire")]  # fmt: skip
    learnt = ["blue" if (("sky" in q.text) == (q.task == "a")) else "red" for q in train]
    asked = [question(task=task, text=f"{word} thing") for task in ("a", "b", "c") for word in ("sky", "fire")]
    assert tf_idf_answers(train, learnt, asked) == ["blue", "red", "red", "blue", None, None]


def test_one_class_and_unknown_words_still_give_an_answer():
    assert tf_idf_answers([question(text="x")], ["red"], [question(text="?")]) == ["red"]
