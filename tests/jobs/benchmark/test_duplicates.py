"""What the benchmark of duplicates counts, against slow loops, and both searches in small."""

from itertools import combinations
from pathlib import Path

import numpy as np
import pytest

from jobs.benchmark.duplicates import Config, bars
from jobs.benchmark.near_copies import jaccards, make_texts
from jobs.benchmark.near_rows import semantic
from jobs.benchmark.near_texts import _sharing, minhash


def test_jaccards_are_exact() -> None:
    texts = [*make_texts(40, seed=1), "xa xb", "xa xb", "xc"]
    grams = [{tuple(words[at : at + 3]) for at in range(max(len(words) - 2, 1))} for words in map(str.split, texts)]
    wanted = {
        (a, b): len(grams[a] & grams[b]) / len(grams[a] | grams[b]) for a, b in combinations(range(len(texts)), 2)
    }
    pairs, similarity = jaccards(texts, 3, least=0.3)
    found = dict(zip(map(tuple, pairs.T.tolist()), similarity.tolist(), strict=True))
    assert found == {pair: share for pair, share in wanted.items() if share >= 0.3}
    assert len(found) > 5


def test_all_owners_of_a_key_are_pairs() -> None:
    keys, owner = np.array([5, 5, 7, 5, 7, 9], np.uint64), np.array([0, 1, 1, 2, 2, 2])
    assert _sharing(keys, owner, 10).tolist() == [1, 2, 12]


def test_both_searches_meet_their_bars_in_small(tmp_path: Path) -> None:
    result = {
        "minhash": minhash(str(tmp_path), 600, 5, 14, 8, None, 0),
        "semantic": semantic(str(tmp_path), 4000, 32, 800, 0.95, 0.05, 0),
    }
    assert result["minhash"]["found"] > 20
    assert result["semantic"]["pairs"] > 50
    result["semantic"]["peak_gb"] = 1.0  # this process's peak is that of all tests before it
    found = bars(result, Config())
    assert [bar["met"] for bar in found] == [True] * 4
    result["semantic"]["recall"], result["minhash"]["deviation"] = 0.98, 5.0
    assert [bar["met"] for bar in bars(result, Config())] == [False, True, False, True]


def test_rows_without_near_pairs_and_an_oracle_without_datatrove_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="5 of 20 rows must have near pairs, got none"):
        semantic(str(tmp_path), 20, 8, 5, 0.9999, 0.05, 0)
    with pytest.raises(ValueError, match="oracle must be a Python with datatrove and spacy"):
        minhash(str(tmp_path / "a"), 40, 5, 14, 8, "false", 0)
