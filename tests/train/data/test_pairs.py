"""Rows to pairs: what is read of a row, what is left out and why, and which are held out."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from raypipe.train.data.pairs import PairColumns, read_pairs


def tokens(texts: list[str]) -> list[np.ndarray | None]:
    """A letter a token; a text of question marks alone leaves none."""
    return [np.array([ord(sign) for sign in text if sign != "?"], np.int32) if set(text) - {"?"} else None
            for text in texts]  # fmt: skip


def read(folder: Path, rows: list[dict[str, Any]], columns: PairColumns | None = None, **settings: Any) -> Any:
    (folder / "pairs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    given = {"queries": tokens, "documents": tokens, "heldout_share": 0.0, **settings}
    return read_pairs([str(folder / "pairs.jsonl")], columns or PairColumns(), **given)


def spelt(ids: np.ndarray) -> str:
    return "".join(map(chr, ids))


def test_pairs_triples_and_lists_are_read_alike(tmp_path):
    plain = read(tmp_path, [{"query": "a", "positive": "b"}])
    assert (plain.n_negatives, spelt(plain.train[0].positive), plain.train[0].negatives) == (0, "b", ())
    triple = read(tmp_path, [{"query": "a", "positive": "b", "negative": "c"}])
    assert [spelt(ids) for ids in triple.train[0].negatives] == ["c"]
    named = PairColumns(query_column="anchor", positive_column="right", negatives_column="wrong")
    several = read(tmp_path, [{"anchor": "a", "right": "b", "wrong": ["c", "dd"], "negative": "e"}], named)
    assert [spelt(ids) for ids in several.train[0].negatives] == ["c", "dd"]
    assert several.train[0].size == 5


def test_rows_give_as_many_negatives_as_most_have_or_as_are_asked_for(tmp_path):
    rows = [{"query": f"q{n}", "positive": "p", "negatives": ["x", "y", "z"][:n]} for n in (2, 2, 3, 1)]
    found = read(tmp_path, rows)
    assert (found.n_negatives, [len(pair.negatives) for pair in found.train]) == (2, [2, 2, 2])
    assert found.left_out.counts == {"fewer than 2 negatives": 1}
    assert found.left_out.places["fewer than 2 negatives"] == ["pairs.jsonl:3"]
    none = read(tmp_path, rows, n_negatives=0)
    assert [pair.negatives for pair in none.train] == [()] * 4


def test_scores_stand_beside_the_negatives_that_are_taken(tmp_path):
    rows = [
        {"query": "a", "positive": "b", "negatives": ["c", "d"], "scores": [0.9, 0.5, 1]},
        {"query": "a", "positive": "b", "negatives": ["c"], "scores": [0.9]},
        {"query": "a", "positive": "b", "negatives": ["c"]},
        {"query": "a", "positive": "b", "negatives": ["c"], "scores": [1, "high"]},
    ]
    found = read(tmp_path, rows, n_negatives=1, has_scores=True)
    assert [pair.scores for pair in found.train] == [(0.9, 0.5)]
    assert found.left_out.counts == {
        "not a score for the positive and each negative": 1, "no scores": 1, "scores aren't numbers": 1,
    }  # fmt: skip


def test_what_is_no_pair_is_counted_by_reason(tmp_path):
    rows: list[dict[str, Any]] = [
        {"query": "a", "positive": "b"}, {"query": " ", "positive": "b"}, {"query": "a", "positive": None},
        {"query": 7, "positive": "b"}, {"query": "a", "positive": "b", "negatives": ["", "c"]},
        {"query": "??", "positive": "b"}, {"query": "a", "positive": "??"},
    ]  # fmt: skip
    found = read(tmp_path, rows, n_negatives=0)
    assert [(pair.row, pair.path) for pair in found.train] == [(0, "pairs.jsonl")]
    assert found.left_out.counts == {
        "empty query": 1, "no positive": 1, "query isn't text": 1, "negatives aren't texts": 1,
        "a text without a token of its own": 2,
    }  # fmt: skip


def test_all_rows_of_a_query_are_held_out_or_none(tmp_path):
    rows = [{"query": f"q{n % 50}", "positive": f"p{n}"} for n in range(200)]
    found = read(tmp_path, rows, heldout_share=0.3)
    learnt, heldout = ({text.query for text in some} for some in (found.train_texts, found.heldout_texts))
    assert not learnt & heldout
    assert len(learnt | heldout) == 50
    assert 5 <= len(heldout) <= 25
    assert [spelt(pair.positive) for pair in found.heldout] == [text.positive for text in found.heldout_texts]
    again = read(tmp_path, rows[::-1], heldout_share=0.3)
    assert {text.query for text in again.heldout_texts} == heldout  # in whatever order


def test_domains_are_a_column_s_or_the_source_s(tmp_path):
    rows = [{"query": "a", "positive": "b", "kind": "faq"}, {"query": "a", "positive": "b"}]
    assert [pair.domain for pair in read(tmp_path, rows).train] == ["all", "all"]
    assert [pair.domain for pair in read(tmp_path, rows, domain_column="kind").train] == ["faq", "unknown"]


@pytest.mark.parametrize(
    ("rows", "settings", "error", "said"),
    [
        ([{"query": "a", "answer": "b"}], {}, KeyError, "'positive'"),
        ([{"query": "a", "positive": "b"}], {"domain_column": "kind"}, KeyError, "'kind'"),
        ([{"query": "a", "positive": "b"}], {"has_scores": True}, KeyError, "'scores'"),
        ([{"query": "a", "positive": ""}], {}, ValueError, "no pair in .* can be learnt from: {'empty positive': 1}"),
        ([{"query": "a", "positive": "b"}], {"heldout_share": 1.0}, ValueError, "all 1 are held out"),
    ],
)
def test_rows_that_cannot_be_learnt_from_are_refused(tmp_path, rows, settings, error, said):
    with pytest.raises(error, match=said):
        read(tmp_path, rows, **settings)
