"""Runs of words that texts share."""

import numpy as np
import pytest

from raypipe.arrays import ngrams
from raypipe.arrays.ngrams import NGrams, words_of


def slow(sought: list[str], text: str, *, n: int, min_words: int) -> set[tuple[int, str]]:
    """Every run of every text against every run of the other, as they are written."""
    found, words = set(), words_of(text)
    for owner, one in enumerate(sought):
        of = words_of(one)
        size = min(n, len(of))
        if len(of) < min_words:
            continue
        runs = {" ".join(of[at : at + size]) for at in range(len(of) - size + 1)}
        found |= {(owner, run) for at in range(len(words)) if (run := " ".join(words[at : at + size])) in runs}
    return {(owner, run) for owner, run in found if len(run.split()) >= min_words}


@pytest.mark.parametrize("seed", range(5))
def test_matches_are_those_of_a_slow_search(seed):
    rng = np.random.default_rng(seed)
    texts = [" ".join(rng.choice(["a", "b", "c"], rng.integers(0, 30))) for _ in range(40)]
    index = NGrams(texts[:20], n=5, min_words=3)
    for text in texts[20:]:
        assert {(one.owner, one.words) for one in index.matches(text)} == slow(texts[:20], text, n=5, min_words=3)


def test_case_and_punctuation_are_no_difference_and_scripts_are():
    question = "Which of these, in your view, is the largest of all the planets there are?"
    (match, *_) = NGrams([question]).matches(f"Quiz!! {question.upper().replace(',', ' --')} (Jupiter)")
    assert match.words == "which of these in your view is the largest of all the planets"
    assert words_of("Größe — 東京, naïve_x 3.5") == ["größe", "東京", "naïve_x", "3", "5"]


def test_a_short_text_is_sought_whole_and_a_shorter_one_is_not():
    index = NGrams(["one two three four five six seven eight", "one two three"])
    assert index.sought == [0]
    assert [one.owner for one in index.matches("zero one two three four five six seven eight nine")] == [0]
    assert not list(index.matches("one two three four five six seven"))


def test_two_runs_of_one_hash_are_told_apart(monkeypatch):
    monkeypatch.setattr(ngrams, "_hashes", lambda words: np.zeros(len(words), np.uint64))
    index = NGrams(["a b c", "d e f"], n=3, min_words=3)
    assert [(one.owner, one.words) for one in index.matches("x d e f")] == [(1, "d e f")]


def test_how_much_of_a_sought_text_was_found():
    index = NGrams(["a b c d"], n=3, min_words=3)
    found = {one.words for one in index.matches("a b c x")}
    assert index.shared(0, found) == 0.5
    assert index.shared(0, set()) == 0
    assert NGrams(["a b"], n=3, min_words=3).shared(0, {"a b"}) == 0


def test_nothing_sought_finds_nothing():
    assert not list(NGrams([]).matches("a b c"))
    assert len(NGrams([])) == 0
    with pytest.raises(ValueError, match="min_words must be between 1 and n, got 9 and 8"):
        NGrams(["a"], n=8, min_words=9)
