"""Rows as texts with a yes or no."""

import json

import pytest

from raypipe.train.data.binary import BinaryColumns, read_binary_rows


def read(tmp_path, rows, **columns):
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return read_binary_rows([str(tmp_path / "rows.jsonl")], BinaryColumns(**columns))


def test_labelled_texts_are_taken_as_they_are_and_others_counted(tmp_path):
    labels = [1, 0, True, False, "yes", "No", "1", 1.0, 2, None, "maybe"]
    found = read(tmp_path, [{"text": f"t{n}", "label": label} for n, label in enumerate(labels)] + [
        {"text": " ", "label": 1}])  # fmt: skip
    assert [row.label for row in found.rows] == [1, 0, 1, 0, 1, 0, 1, 1]
    assert [(row.path, row.row) for row in found.rows[:2]] == [("rows.jsonl", 0), ("rows.jsonl", 1)]
    assert found.left_out.counts == {"no label that is 0 or 1": 3, "no text": 1}


def test_a_template_joins_columns(tmp_path):
    rows = [{"passage": "P{x}", "question": "Q", "answer": True}]
    found = read(tmp_path, rows, template="{passage}: {question}?", label_column="answer")
    assert found.rows[0].text == "P{x}: Q?"


def test_choices_are_turned_binary_by_a_fair_coin_that_is_fixed(tmp_path):
    """All questions have the same choices and the same right one: the coin must not depend on these alone."""
    rows = [{"question": f"Is {n} even?", "choices": ["a", "b", "c"], "gold": 2} for n in range(600)]
    settings = {"template": "Q: {question} A: {choice}", "choices_column": "choices"}
    found = read(tmp_path, rows, **settings)
    for row in found.rows:
        assert (row.text[-1] == "c") == (row.label == 1)
    assert found.labels.mean() == pytest.approx(0.5, abs=0.08)  # four standard deviations
    wrong = [row.text[-1] for row in found.rows if not row.label]
    assert wrong.count("a") / len(wrong) == pytest.approx(0.5, abs=0.12)
    assert read(tmp_path, rows[100:], **settings).rows[0].text == found.rows[100].text
    assert found.sha256 != read(tmp_path, rows[1:], **settings).sha256


def test_questions_without_a_wrong_choice_are_counted(tmp_path):
    rows = [{"q": "1", "choices": ["a", "b"], "gold": 0}, {"q": "2", "choices": ["a"], "gold": 0},
            {"q": "3", "choices": ["a", "b"], "gold": 5}, {"q": "4", "choices": None, "gold": 0}]  # fmt: skip
    found = read(tmp_path, rows, template="{q} {choice}", choices_column="choices")
    assert len(found.rows) == 1
    assert found.left_out.counts == {"no choice that is right, or none that is wrong": 3}


@pytest.mark.parametrize(
    ("columns", "error", "message"),
    [
        ({"template": "{body}"}, KeyError, "the rows have no column 'body'; they have label, text"),
        ({"label_column": "truth"}, KeyError, "no column 'truth'"),
        ({"template": "text"}, ValueError, "must name columns in braces, got 'text'"),
        ({"template": "{text"}, ValueError, "must name columns in braces"),
        ({"template": "{text.__class__}"}, ValueError, "must name columns in braces"),
        ({"choices_column": "label"}, ValueError, "must show the answer as {choice}"),
    ],
)
def test_wrong_columns_are_refused(tmp_path, columns, error, message):
    with pytest.raises(error, match=message):
        read(tmp_path, [{"text": "t", "label": 1}], **columns)


def test_rows_without_any_truth_are_refused(tmp_path):
    with pytest.raises(ValueError, match=r"no row in .*no label that is 0 or 1': 1"):
        read(tmp_path, [{"text": "t", "label": 7}])
