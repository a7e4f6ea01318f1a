"""Classification by examples in the context."""

import json
from collections import Counter

import pytest

from raypipe.evaluate.many_shot import items_of, read_labelled, shown_and_asked


@pytest.fixture
def rows(tmp_path):
    content = [{"text": f"word {n}\nmore", "label": "ab"[n % 4 == 0]} for n in range(40)]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in content))
    return read_labelled(str(tmp_path / "rows.jsonl"), text_column="text", label_column="label")


def test_examples_are_balanced_apart_from_the_questions_and_grow_backwards(rows):
    shown, asked = shown_and_asked(rows, n_shown=8, limit=10, seed=0)
    assert Counter(one.label for one in shown) == {"a": 4, "b": 4}
    assert not {one.name for one in shown} & {one.name for one in asked}
    assert len(asked) == 10
    none, four, eight = (items_of(asked, shown, ["a", "b"], n=n)[0] for n in (0, 4, 8))
    assert none.contexts[0] == f"Text: {asked[0].text}\nLabel:"
    assert eight.contexts[0].endswith(four.contexts[0])
    assert four.contexts[0].count("Label:") == 5
    assert (eight.continuations, eight.choices[eight.gold]) == ((" a", " b"), asked[0].label)
    assert (
        shown_and_asked(rows, n_shown=8, limit=10, seed=0)[1]
        == asked
        != shown_and_asked(rows, n_shown=8, limit=10, seed=1)[1]
    )


def test_bad_rows_are_refused(tmp_path, rows):
    with pytest.raises(ValueError, match="40 rows must hold 40 examples to show and others to ask"):
        shown_and_asked(rows, n_shown=40, limit=None, seed=0)
    path = tmp_path / "rows.jsonl"
    with pytest.raises(ValueError, match=r"rows.jsonl:0 isn't: no text with a class"):
        read_labelled(str(path), text_column="text", label_column="class")
    path.write_text('{"text": "a", "label": 1}\n')
    with pytest.raises(ValueError, match="must have 2 to 200 labels, it has 1"):
        read_labelled(str(path), text_column="text", label_column="label")
