"""Rows of benchmarks as questions."""

import json

import pytest

from raypipe.evaluate.benchmarks import Form, read_items


def items(tmp_path, *rows, limit=None, **form):
    path = tmp_path / "bench.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return read_items(str(path), Form(**form), limit=limit)


def test_the_common_forms_are_told_by_their_keys(tmp_path):
    arc = {"id": "a1", "query": "Question: which?\n", "choices": ["red", "blue"], "gold": 1}
    mmlu = {"subject": "law", "question": "Who?", "choices": ["I", "you", "she"], "answer": 2}
    boolq = {"passage": "It is red.", "question": "is it red", "answer": True}
    winograd = {"context_options": ["The cup fell as the cup", "The cup fell as the man"], "continuation": "slipped.",
                "gold": 1}  # fmt: skip
    one, two, three, four = items(tmp_path, arc, mmlu, boolq, winograd)
    assert one.contexts == ("Question: which?\nAnswer:",) * 2
    assert (one.name, one.continuations, one.gold) == ("a1", (" red", " blue"), 1)
    assert (two.name, two.contexts[0], two.gold) == ("bench.jsonl:1", "Who?\nAnswer:", 2)
    assert three.contexts[0] == "It is red.\nis it red\nAnswer:"
    assert (three.choices, three.gold) == (("no", "yes"), 1)
    assert four.contexts == ("The cup fell as the cup", "The cup fell as the man")
    assert four.continuations == (" slipped.", " slipped.")


def test_a_template_a_delimiter_a_group_and_a_limit(tmp_path):
    rows = [{"query": "The tap was on,", "lang": "en", "choices": ["a", "b"], "gold": 0}] * 3
    found = items(tmp_path, *rows, limit=2, template="{lang}: {query}", delimiter="\n", group_column="lang")
    assert [(one.contexts[0], one.continuations[0], one.group) for one in found] == [
        ("en: The tap was on,", "\na", "en")
    ] * 2


@pytest.mark.parametrize(
    ("row", "why"),
    [
        ({"query": "q", "choices": ["a"], "gold": 0}, "choices isn't a list of two or more texts"),
        ({"query": "q", "choices": "ab", "gold": 0}, "choices isn't a list"),
        ({"query": "q", "choices": ["a", 3], "gold": 0}, "choices isn't a list"),
        ({"query": "q", "choices": ["a", "b"]}, r"gold \(or answer\) isn't the number of a choice"),
        ({"query": "q", "choices": ["a", "b"], "gold": 2}, "gold is 2, but there are 2 choices, from 0"),
        ({"query": "q", "choices": ["a", "b"], "gold": -1}, "gold is -1"),
        ({"choices": ["a", "b"], "gold": 0}, "no query or question"),
        ({"context_options": ["a"], "continuation": "b", "gold": 0}, "context_options isn't"),
        ([1], "unparsable"),
    ],
)
def test_a_row_that_cant_be_asked_is_refused_with_its_place(tmp_path, row, why):
    good = {"query": "q", "choices": ["a", "b"], "gold": 0}
    with pytest.raises(ValueError, match=rf"bench.jsonl:1 isn't: {why}"):
        items(tmp_path, good, row)


def test_wrong_columns_and_nothing_are_refused(tmp_path):
    row = {"query": "q", "choices": ["a", "b"], "gold": 0}
    with pytest.raises(ValueError, match="no subject"):
        items(tmp_path, row, group_column="subject")
    with pytest.raises(ValueError, match="the template names a column that it lacks"):
        items(tmp_path, row, template="{text}")
    with pytest.raises(ValueError, match="has no row"):
        items(tmp_path)
