"""Signatures and bands of texts against the definition, and what links have to do with Jaccard."""

import numpy as np
import pyarrow as pa
import pytest

from raypipe.columns import SOURCE
from raypipe.select.dedup.minhash import Bands, MinHashKeys, band_keys, shingles_of, signatures

WORDS = [f"w{number}" for number in range(4000)]


def texts_with(jaccard, n_pairs, rng, n_words=120):
    """Pairs of texts whose sets of words have this Jaccard similarity, about; ngram 1."""
    shared = round(n_words * 2 * jaccard / (1 + jaccard))
    found = []
    for _ in range(n_pairs):
        drawn = rng.choice(WORDS, 2 * n_words - shared, replace=False)
        own = drawn[shared:n_words], drawn[n_words:]
        found += [" ".join(rng.permutation(np.concatenate([drawn[:shared], one]))) for one in own]
    return found, shared / (2 * n_words - shared)


def test_shingles_are_the_runs_of_words_and_signatures_their_lowest_values():
    texts = ["one two three four", "two, Three FOUR!", "one", "", "...", "one two"]
    hashes, n_runs = shingles_of(texts, 3)
    assert n_runs.tolist() == [2, 1, 1, 0, 0, 1]
    assert hashes[1] == hashes[2]
    assert len(set(hashes.tolist())) == 4
    found = signatures(hashes, n_runs, n_hashes=6, seed=3)
    alone = [signatures(*shingles_of([text], 3), n_hashes=6, seed=3)[0] for text in texts]
    np.testing.assert_array_equal(found, alone)
    of_both = [signatures(hashes[at : at + 1], np.array([1]), n_hashes=6, seed=3)[0] for at in (0, 1)]
    np.testing.assert_array_equal(found[0], np.minimum(*of_both))
    assert (signatures(hashes, n_runs, n_hashes=6, seed=4)[:3] != found[:3]).all()


def test_a_text_larger_than_a_chunk_is_hashed_whole():
    rng = np.random.default_rng(0)
    texts = ["a b", " ".join(rng.choice(WORDS, 70_000)), "c d", "", "e"]
    found = signatures(*shingles_of(texts, 1), n_hashes=3, seed=0)
    for row, text in enumerate(texts):
        np.testing.assert_array_equal(found[row], signatures(*shingles_of([text], 1), n_hashes=3, seed=0)[0])


@pytest.mark.parametrize("jaccard", [0.2, 0.5, 0.8])
def test_hashes_agree_as_often_as_jaccard_says_and_independently(jaccard):
    texts, exact = texts_with(jaccard, 150, np.random.default_rng(1))
    found = signatures(*shingles_of(texts, 1), n_hashes=112, seed=0).reshape(150, 2, 112)
    agree = (found[:, 0] == found[:, 1]).mean(axis=1)
    assert abs(agree.mean() - exact) < 4 * np.sqrt(exact * (1 - exact) / (150 * 112))
    wanted = np.sqrt(exact * (1 - exact) / 112)  # of a binomial: hashes that hung together would spread wider
    assert 0.8 < agree.std() / wanted < 1.25


@pytest.mark.parametrize("jaccard", [0.6, 0.72, 0.85])
def test_pairs_share_a_band_as_often_as_the_curve_says(jaccard):
    bands, n = Bands(14, 8), 400
    texts, exact = texts_with(jaccard, n, np.random.default_rng(2))
    keys = band_keys(signatures(*shingles_of(texts, 1), n_hashes=112, seed=0), bands).reshape(n, 2, 14)
    share, chance = (keys[:, 0] == keys[:, 1]).any(axis=1).mean(), float(bands.chance(exact))
    assert abs(share - chance) < 4 * np.sqrt(chance * (1 - chance) / n) + 0.005


def test_the_curve_and_its_threshold():
    bands = Bands(14, 8)
    assert bands.threshold == pytest.approx(0.719, abs=1e-3)
    np.testing.assert_allclose(bands.chance(np.array([0.0, 0.5, 1.0])), [0, 1 - (1 - 2**-8) ** 14, 1])
    assert "0.8: 92.4 %" in bands.said()


def test_rows_without_a_word_have_no_key_and_those_with_a_reason_nothing():
    texts = ["some words", "...", None]
    source = pa.table({
        "id": ["a", "b", "c"], "text_hash": [1, 2, None], "domain": ["x"] * 3, "text": texts, "n_bytes": [1, 1, 0],
        "reason": [None, None, "empty"],
    }, schema=SOURCE)  # fmt: skip
    found = MinHashKeys(2, Bands(3, 2)).prepare(source)
    assert [keys and len(keys) for keys in found["keys"].to_pylist()] == [3, [], None]
    assert [one and len(one) for one in found["signature"].to_pylist()] == [6, 6, None]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Bands(0, 8), "bands and rows_per_band must be at least 1 and 4096 hashes in all, got 0 and 8"),
        (lambda: Bands(600, 8), "4096 hashes in all, got 600 and 8"),
        (lambda: MinHashKeys(0), "ngram must be at least 1, got 0"),
    ],
)
def test_wrong_numbers_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()
