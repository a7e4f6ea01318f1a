"""Rows as questions, and why some aren't."""

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from raypipe.train.choices.question import fraction_of
from raypipe.train.choices.read import ChoiceColumns, read_questions
from tests.train.choices.questions import question

ROW = {"task": "colour", "instruction": "i", "text": "t", "question": "q?", "choices": ["red", "blue"], "answer": "red"}


def write(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def read(tmp_path, *rows, **columns):
    return read_questions([write(tmp_path / "a.jsonl", rows)], ChoiceColumns(**columns))


def test_a_row_is_a_question_whose_text_is_its_case(tmp_path):
    (found,) = read(tmp_path, ROW).found
    assert found == question(instruction="i", text="t", question="q?", case="t")


def test_a_file_of_tasks_fills_what_rows_dont_say(tmp_path):
    tasks = write(
        tmp_path / "tasks.jsonl", [{"task": "colour", "instruction": "i", "question": "q?", "choices": ["a", "b"]}]
    )
    rows = [
        {"task": "colour", "text": "t", "answer": "b"},
        {**ROW, "choices": None, "answer": "a"},
        {**ROW, "question": "own?"},
    ]
    found = read(tmp_path, *rows, tasks=tasks).found
    assert [(f.question, f.choices) for f in found] == [
        ("q?", ("a", "b")),
        ("q?", ("a", "b")),
        ("own?", ("red", "blue")),
    ]


def test_parquet_gives_the_same_questions(tmp_path):
    pq.write_table(pa.Table.from_pylist([ROW, {**ROW, "choices": None, "answer": "7"}]), tmp_path / "a.parquet")
    found = read_questions([str(tmp_path / "a.parquet")], ChoiceColumns()).found
    assert [(f.choices, f.answers) for f in found] == [(("red", "blue"), ("red",)), ((), ("7",))]


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"text": None}, "no text"),
        ({"text": "  "}, "no text"),
        ({"question": None}, "no question"),
        ({"answer": None}, "no answer"),
        ({"answer": []}, "no answer"),
        ({"answer": "green"}, "answer isn't among the choices"),
        ({"answer": ["red", "green"]}, "answer isn't among the choices"),
        ({"choices": ["red"]}, "fewer than two choices"),
        ({"choices": ["red", "red", "blue"]}, "a choice stands there twice"),
        ({"choices": []}, "answer isn't an integer"),
        ({"choices": None, "answer": 2.5}, "answer isn't an integer"),
        ({"choices": None, "answer": True}, "answer isn't an integer"),
        ({"split": "holdout"}, "split isn't train, validation or test"),
        ({"case": None}, "no case"),
    ],
)
def test_a_row_that_cant_be_answered_is_left_out_with_its_reason(tmp_path, changes, reason):
    good = {**ROW, "split": "dev", "case": 3}
    found = read(tmp_path, good, {**good, **changes}, split_column="split", case_column="case")
    assert found.left_out.counts == {reason: 1}
    assert [(f.split, f.case) for f in found.found] == [("validation", "3")]


@pytest.mark.parametrize(("answer", "read_as"), [(7, "7"), ("007", "7"), (3.0, "3"), (" -12 ", "-12")])
def test_integers_are_read_however_they_are_written(tmp_path, answer, read_as):
    (found,) = read(tmp_path, {**ROW, "choices": None, "answer": answer}).found
    assert found.answers == (read_as,)


def test_several_answers_count_and_one_is_drawn_by_seed_and_row(tmp_path):
    rows = [{**ROW, "answer": ["blue", "red", "blue"]}] * 100
    found = read(tmp_path, *rows).found
    assert found[0].answers == ("blue", "red")
    drawn = [f.drawn_answer(0) for f in found]
    assert 30 < drawn.count("red") < 70
    assert drawn == [f.drawn_answer(0) for f in found]
    assert drawn != [f.drawn_answer(1) for f in found]


def test_missing_columns_are_named(tmp_path):
    with pytest.raises(KeyError, match=r"no column 'question'; its columns are .*--tasks"):
        read(tmp_path, {name: value for name, value in ROW.items() if name != "question"})
    with pytest.raises(KeyError, match="no column 'docket'"):
        read(tmp_path, ROW, case_column="docket")


def test_nothing_to_ask_and_tasks_given_twice_are_refused(tmp_path):
    with pytest.raises(ValueError, match=r"no row in .* can be answered: {'no answer': 1}"):
        read(tmp_path, {**ROW, "answer": None})
    with pytest.raises(ValueError, match="one row a task, got 'colour' twice"):
        read(tmp_path, ROW, tasks=write(tmp_path / "tasks.jsonl", [ROW, ROW]))


def test_fractions_are_even_and_independent_of_one_another():
    at = [fraction_of(str(n), 0, "a") for n in range(2000)]
    assert 0.47 < sum(at) / len(at) < 0.53
    assert min(at) >= 0
    assert max(at) < 1
    assert fraction_of("1", 0, "a") != fraction_of("1", 0, "b")
