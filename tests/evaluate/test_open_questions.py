"""Questions answered in writing."""

import json

import pytest

from raypipe.evaluate.open_questions import prompt_of, read_open_questions


def read(tmp_path, *rows, **settings):
    (tmp_path / "open.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return read_open_questions(str(tmp_path / "open.jsonl"), **settings)


def test_forms_of_rows_and_examples_before_a_question(tmp_path):
    gsm, svamp, bbh = read(
        tmp_path,
        {"id": "g", "question": "How many? ", "answer": "2 + 3 = 5\n#### 5", "final_answer": "5"},
        {"question": "And how many?", "answer": 8.0},
        {"input": "Is it?", "target": "(A)", "task": "x"},
    )
    assert (gsm.name, gsm.accepted, gsm.is_number) == ("g", ("5",), True)
    assert (svamp.name, svamp.accepted, svamp.solution) == ("open.jsonl:1", ("8.0",), "#### 8.0")
    assert (bbh.accepted, bbh.is_number) == (("(A)",), False)
    assert prompt_of(svamp, [gsm]) == (
        "Question: How many?\nAnswer: 2 + 3 = 5\n#### 5\n\nQuestion: And how many?\nAnswer:"
    )


def test_what_follows_another_question_is_not_the_answer(tmp_path):
    (one,) = read(tmp_path, {"question": "How many?", "answer": "#### 5"})
    assert one.right(" 2 + 3\n#### 5\n\nQuestion: Next?\nAnswer: #### 9") == {"strict": True, "flexible": True}
    assert one.right(" it is 5") == {"strict": False, "flexible": True}
    assert one.right(" it is 5 or 6") == {"strict": False, "flexible": False}


@pytest.mark.parametrize(
    ("row", "why"),
    [
        ({"answer": "5"}, "no question, query or input"),
        ({"question": " ", "answer": "5"}, "no question"),
        ({"question": "q"}, "no final_answer, answer or target that is a text or a number"),
        ({"question": "q", "answer": True}, "no final_answer"),
        ({"question": "q", "answer": "a", "x": 1}, "no subject"),
    ],
)
def test_a_row_that_cant_be_asked_is_refused_with_its_place(tmp_path, row, why):
    group = "subject" if "x" in row else None
    good = {"question": "q", "answer": "5", "subject": "a"}
    with pytest.raises(ValueError, match=rf"open.jsonl:1 isn't: {why}"):
        read(tmp_path, good, row, group_column=group)
    with pytest.raises(ValueError, match="has no row"):
        read(tmp_path)
