"""Candidates for the study of Weaver on real verifiers: what rules say of solutions, how the files of sets are read."""

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from jobs.parts.candidates import candidates_of
from jobs.studies import answer_sets, weaver_answers
from jobs.studies.answer_sets import rows_of
from jobs.studies.open_data import FOLDER
from jobs.studies.weaver_answers import _dealt, _development


@pytest.mark.parametrize(
    ("text", "value"), [("16-3-4", 9), ("2*(3+4)", 14), ("-2*3", -6), ("7/2", 3.5), ("1-2-3", -4), ("8/4/2", 1)]
)
def test_sums_have_the_value_that_they_have(text: str, value: float) -> None:
    assert answer_sets._value(text) == value


@pytest.mark.parametrize(("left", "right"), [("2*", "4"), ("", "0"), ("3/0", "1"), ("2 3", "5"), ("(1", "1")])
def test_what_is_no_sum_does_not_hold(left: str, right: str) -> None:
    assert not answer_sets._holds(left, right)


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(FOLDER, str(tmp_path))
    monkeypatch.setattr(answer_sets, "minilm", lambda texts, n: np.eye(len(texts), 9))
    return tmp_path


def test_solutions_are_judged_by_their_sums_and_agree_by_what_they_come_to(data: Path) -> None:
    (data / "gsm8k_solutions").mkdir()
    good = {"solution": "It is 2+3=<<2+3=5>>5\nA: 5", "is_correct": True}
    bad = {"solution": "It is 2*3=<<2*3=7>>7\nA: 8", "is_correct": False}
    same = {"solution": "Five, so\nA: 5.0", "is_correct": False}  # marked unlike its like
    row = {"question": "2 apples and 3?", "ground_truth": "5", "a": good, "b": bad, "c": same}
    (data / "gsm8k_solutions" / "example_model_solutions.jsonl").write_text(json.dumps(row) + "\n")
    found = rows_of("gsm8k_solutions", 5, None)[0]
    at = {text: place for place, text in enumerate(found["candidates"])}
    of = {name: [scores[at[one["solution"]]] for one in (good, bad, same)] for name, scores in found["scores"].items()}
    assert of["sums that hold"] == [1, 0, 0]
    assert of["last sum is the answer"] == [1, 0, 0]
    assert of["numbers of the question"] == [1, 1, 0]
    assert [found["correct"][at[one["solution"]]] for one in (good, bad, same)] == [True, False, True]
    assert found["answers"][at[good["solution"]]] == found["answers"][at[same["solution"]]]


def test_legal_answers_are_the_models_likeliest_with_every_models_probability(data: Path) -> None:
    logs = {"one": {" A": -1.0, " B": -2.0}, "two": {" A": -3.0, " B": -0.1}}
    for name, of in logs.items():
        (data / "lawma_answers" / name).mkdir(parents=True)
        rows = [{"id": "x", "ground_truth": " B", "logprobs": of, "model_response": "?"}]
        (data / "lawma_answers" / name / "task.json").write_text(json.dumps(rows))
    found = rows_of("lawma_answers", 4, None)
    assert (found[0]["candidates"], found[0]["correct"]) == (["A", "B"], [False, True])
    np.testing.assert_allclose(found[0]["scores"]["one"], np.exp([-1, -2]) / np.exp([-1, -2]).sum())


def test_tasks_without_probabilities_and_with_signs_of_a_family_s_own_are_left_out(data: Path) -> None:
    whole = {"id": "x", "ground_truth": " B", "logprobs": {" A": -1.0, " B": -2.0}}
    without = {"id": "x", "ground_truth": " 12"}
    for name, sign in (("one", "\u5217"), ("two", "\u5408")):
        (data / "lawma_answers" / name).mkdir(parents=True)
        tasks = {"letters": [whole], "numbers": [without], "signs": [whole | {"ground_truth": sign}]}
        for task, rows in tasks.items():
            (data / "lawma_answers" / name / f"{task}.json").write_text(json.dumps(rows))
    assert [row["question"] for row in rows_of("lawma_answers", 30, None)] == ["letters x"]


def test_choices_have_one_right_answer(data: Path) -> None:
    (data / "arc_easy").mkdir()
    table = pa.table({"query": ["Which is red?", "What?"], "choices": [["a red rose", "coal"]] * 2, "gold": [0, 1]})
    pq.write_table(table, data / "arc_easy" / "test.parquet")
    found = rows_of("arc_easy", 9, None)
    assert [row["correct"] for row in found] == [[True, False], [False, True]]
    assert found[0]["scores"]["words of the question"] == [1 / 3, 0]
    with pytest.raises(ValueError, match="data must be one of debtags, arc_easy"):
        rows_of("nothing", 1, None)


ROWS = [{"question": str(at), "candidates": ["x", "y"], "scores": {}, "correct": [at > 1, False]} for at in range(6)]


def test_a_development_set_goes_on_until_it_holds_right_and_wrong_answers() -> None:
    found = candidates_of(ROWS)
    assert _development(found, np.array([0, 1, 2, 3, 4, 5]), 0.01).tolist() == [0, 1, 2]
    assert _development(found, np.array([2, 0, 1, 3, 4, 5]), 0.01).tolist() == [2, 0]


def test_scores_are_dealt_within_their_question() -> None:
    of, rng = np.repeat(np.arange(50), 4), np.random.default_rng(0)
    scores = np.column_stack([np.arange(200.0), np.arange(200.0)])
    dealt = _dealt(scores, of, rng)
    for question in range(50):
        for at in range(2):
            assert sorted(dealt[of == question, at]) == sorted(scores[of == question, at])
    assert (dealt[:, 0] != dealt[:, 1]).mean() > 0.5
    assert weaver_answers.STUDY.control == weaver_answers.DEALT
