"""Concepts by questions: answers asked once, a decision, and a student that is better than its annotator."""

import numpy as np
import pytest

from raypipe.label.collaborator.answers import KeptAnswers
from raypipe.label.collaborator.concept import Concept, tuned
from raypipe.label.collaborator.student import distilled, mined
from raypipe.storage.folder import Folder

RNG = np.random.default_rng(0)
Y = RNG.random(1500) < 0.25
X = np.where(Y[:, None], 0.55, -0.2) * np.ones(20) + RNG.normal(size=(1500, 20))
CONCEPT = Concept("science", ("is it of science?", "of machines?"), ("of business?",))


def noisy(question: str, rows: np.ndarray) -> np.ndarray:
    """An annotator whose every answer is wrong now and then, the same each time."""
    rng = np.random.default_rng(len(question))
    wrong = rng.random(len(Y)) < 0.15
    is_so = (Y ^ wrong) if "business" not in question else ~(Y ^ wrong)
    return is_so[rows] * 1.0 + 0.1 * rng.random(len(Y))[rows]


def test_calls_are_rows_by_questions_and_a_second_run_makes_none(tmp_path) -> None:
    folder = Folder(str(tmp_path))
    kept = KeptAnswers(noisy, "v1", folder)
    first = kept.of(CONCEPT.questions, np.arange(50))
    assert (first.shape, kept.calls) == ((50, 3), 150)
    kept.of(CONCEPT.questions, np.arange(40, 60))
    assert kept.calls == 180
    again = KeptAnswers(noisy, "v1", folder)
    np.testing.assert_array_equal(again.of(CONCEPT.questions, np.arange(50)), first)
    assert again.calls == 0


def test_a_changed_question_asks_for_its_column_alone_and_another_version_for_all(tmp_path) -> None:
    folder = Folder(str(tmp_path))
    KeptAnswers(noisy, "v1", folder).of(CONCEPT.questions, np.arange(50))
    changed = KeptAnswers(noisy, "v1", folder)
    changed.of(("is it of science?", "of engines?", "of business?"), np.arange(50))
    assert changed.calls == 50
    other = KeptAnswers(noisy, "v2", folder)
    other.of(CONCEPT.questions, np.arange(50))
    assert other.calls == 150


def test_the_best_positive_answer_must_beat_the_best_negative_one() -> None:
    answers = np.array([[0.9, 0.1, 0.5], [0.2, 0.6, 0.7], [0.3, 0.3, 0.3]])
    assert CONCEPT.decided(answers).tolist() == [True, False, False]
    alone = Concept("x", ("a?",))
    assert alone.decided(np.array([[0.4], [0.2]]), threshold=0.3).tolist() == [True, False]


def test_tuning_takes_what_is_better_on_labels_it_has_not_seen() -> None:
    answers = KeptAnswers(noisy, "v").of(CONCEPT.questions, np.arange(300))
    misled = answers.copy()
    misled[:, 2] *= 0.0  # the negative question is never answered: the rule says yes to all
    name, decide = tuned(CONCEPT, misled, Y[:300])
    assert name == "regression"
    assert (decide(misled) == Y[:300]).mean() > (CONCEPT.decided(misled) == Y[:300]).mean() + 0.2
    perfect = np.column_stack([Y[:300], Y[:300], ~Y[:300]]).astype(float)
    assert tuned(CONCEPT, perfect, Y[:300])[0] == "rule"


def test_the_student_averages_its_annotator_s_errors_out_and_asks_what_it_says() -> None:
    kept = KeptAnswers(noisy, "v")

    def annotate(rows: np.ndarray) -> np.ndarray:
        return CONCEPT.decided(kept.of(CONCEPT.questions, rows))

    pool = np.arange(1000)
    first = mined(X[pool], np.ones((1, 20)), n_near=40, n_random=40, random_state=1)
    student, rows = distilled(X[pool], first, annotate, rounds=4, batch=60, random_state=1)
    assert (len(rows), len(set(rows.tolist())), kept.calls) == (320, 320, 960)
    test = np.arange(1000, 1500)
    assert (student.predict(X[test]) == Y[test]).mean() > (annotate(test) == Y[test]).mean() + 0.02
    again = distilled(X[pool], first, annotate, rounds=4, batch=60, random_state=1)
    np.testing.assert_array_equal(again[1], rows)


def test_choices_differ_in_what_they_ask_about() -> None:
    first = mined(X, np.ones((1, 20)), n_near=40, n_random=40)
    asked = {choice: distilled(X, first, lambda rows: Y[rows], rounds=1, batch=50, choice=choice)[1][80:]
             for choice in ("margin", "random", "top")}  # fmt: skip
    share = {choice: Y[rows].mean() for choice, rows in asked.items()}
    assert share["top"] > share["margin"] > share["random"] - 0.1
    assert share["top"] > 0.8


def test_the_first_batch_is_near_the_phrases_and_then_random() -> None:
    phrases = np.stack([np.eye(20)[0], np.eye(20)[1]])
    first = mined(X, phrases, n_near=6, n_random=5)
    for phrase in phrases:
        assert int((X @ phrase).argmax()) in first[:2]
    assert len(set(first.tolist())) == 11


def test_what_can_t_be_is_refused() -> None:
    with pytest.raises(ValueError, match="'x' must have positive questions"):
        Concept("x", ())
    with pytest.raises(ValueError, match="comes twice"):
        Concept("x", ("a?",), ("a?",))
    with pytest.raises(ValueError, match="a finite answer for each of 2 rows to 'a'"):
        KeptAnswers(lambda _, rows: rows * np.nan, "v").of(("a",), np.arange(2))
    with pytest.raises(ValueError, match="must be of both sorts, the annotator finds all outside the concept"):
        distilled(X, np.arange(20), lambda rows: np.zeros(len(rows), bool), rounds=1, batch=5)
    with pytest.raises(ValueError, match="the pool must hold 1520 rows"):
        distilled(X, np.arange(20), lambda rows: Y[rows], rounds=15, batch=100)
    with pytest.raises(ValueError, match="the pool must hold 1501 rows at least"):
        mined(X, np.ones((1, 20)), n_near=1500, n_random=1)
    with pytest.raises(ValueError, match="four rows of the concept and four others, got 2 and 8"):
        tuned(CONCEPT, np.ones((10, 3)), np.arange(10) < 2)
