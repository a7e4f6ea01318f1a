import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from raypipe.select.ranking.ranks import ABOVE_ALL, Histogram, Ranking, Ranks, keys_of

SCORES = st.lists(st.sampled_from([-1.5, -1.0, 0.0, 0.25, 0.5, 3.0]), min_size=1, max_size=40)


def rows_with(scores: list[float], seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return keys_of(np.array(scores), rng.random(len(scores))), rng.integers(1, 100, len(scores))


def ranked(keys: np.ndarray, tokens: np.ndarray, *, exact_rows: int = 1000, sample_rows: int = 1000) -> Ranks:
    """Ranks of rows added a few at a time to accumulators that are then merged backwards."""
    parts = []
    for start in range(0, len(keys), 7):
        parts.append(Ranking(exact_rows=exact_rows, sample_rows=sample_rows))
        parts[-1].update(keys[start : start + 7], tokens[start : start + 7])
    whole = parts.pop()
    for part in reversed(parts):
        whole.merge(part)
    if whole.is_exact:
        return whole.result()
    histogram = Histogram(whole.result().edges)
    histogram.update(keys, tokens)
    return histogram.result()


@given(SCORES)
def test_ranks_are_a_permutation_of_the_places_and_follow_the_score(scores):
    keys, tokens = rows_with(scores)
    ranks = ranked(keys, tokens).rank(keys)
    assert sorted(ranks) == pytest.approx(np.arange(1, len(keys) + 1) / len(keys))
    slow = [sum((k.real, k.imag) <= (key.real, key.imag) for k in keys) / len(keys) for key in keys]
    assert ranks.tolist() == pytest.approx(slow)


@settings(max_examples=60)
@given(n=st.integers(20, 400), sample_rows=st.integers(2, 19), seed=st.integers(0, 9), tied=st.booleans())
def test_histogram_ranks_are_within_the_stated_error_of_the_exact_ones(n, sample_rows, seed, tied):
    rng = np.random.default_rng(seed)
    keys, tokens = rows_with(rng.integers(0, 3, n) if tied else rng.standard_cauchy(n), seed)
    exact = ranked(keys, tokens).rank(keys)
    binned = ranked(keys, tokens, exact_rows=19, sample_rows=sample_rows)
    assert binned.max_error < 1
    assert np.abs(binned.rank(keys) - exact).max() <= binned.max_error + 1e-12
    assert (binned.rank(keys) > 0).all()
    assert (binned.rank(keys) <= 1).all()
    best_first = np.argsort(keys)
    assert (np.diff(binned.rank(keys)[best_first]) >= 0).all()


def test_exact_ranks_state_no_error():
    keys, tokens = rows_with(list(range(50)))
    assert ranked(keys, tokens).max_error == 0


def test_the_error_of_a_histogram_falls_with_its_edges():
    keys, tokens = rows_with(np.random.default_rng(0).standard_normal(20_000).tolist())
    few, many = (ranked(keys, tokens, exact_rows=5000, sample_rows=n).max_error for n in (100, 4000))
    assert many < few / 10
    assert many < 3 * np.log(4000) / 4000


@given(order=st.permutations(range(12)), seed=st.integers(0, 5))
def test_the_sample_is_the_same_in_any_order_of_adding_and_merging(order, seed):
    keys, tokens = rows_with(np.random.default_rng(seed).standard_normal(120).tolist(), seed)
    whole = Ranking(exact_rows=20, sample_rows=10)
    whole.update(keys, tokens)
    merged = Ranking(exact_rows=20, sample_rows=10)
    for place in order:
        part = Ranking(exact_rows=20, sample_rows=10)
        part.update(keys[10 * place : 10 * place + 10], tokens[10 * place : 10 * place + 10])
        merged.merge(part)
    assert np.array_equal(whole.result().edges, merged.result().edges)
    assert len(whole.result().edges) == 10


def test_histograms_merge_to_the_whole():
    keys, tokens = rows_with(np.random.default_rng(0).standard_normal(100).tolist())
    edges = np.sort(keys[:9])
    whole, left, right = Histogram(edges), Histogram(edges), Histogram(edges)
    whole.update(keys, tokens)
    left.update(keys[:30], tokens[:30])
    right.update(keys[30:], tokens[30:])
    right.merge(left)
    assert np.array_equal(right.result().counts, whole.result().counts)
    assert np.array_equal(right.result().tokens, whole.result().tokens)


def test_histograms_with_other_edges_are_refused():
    with pytest.raises(ValueError, match="same edges"):
        Histogram(np.array([1j])).merge(Histogram(np.array([2j])))


@given(scores=SCORES, share=st.floats(0, 1), seed=st.integers(0, 3))
def test_exact_ends_leave_nothing_to_decide_and_come_nearest_to_the_target(scores, share, seed):
    keys, tokens = rows_with(scores, seed)
    ranks = ranked(keys, tokens)
    target = int(share * tokens.sum())
    span = ranks.end_of(target, unit="tokens")
    assert span.low == span.high
    taken = tokens[keys > span.low].sum()
    best_first = tokens[np.argsort(keys)[::-1]]
    nearest = min(abs(int(prefix) - target) for prefix in [0, *np.cumsum(best_first)])
    assert abs(taken - target) == nearest


@given(scores=SCORES, data=st.data())
def test_exactly_as_many_documents_are_taken_as_asked_for(scores, data):
    keys, tokens = rows_with(scores)
    target = data.draw(st.integers(0, len(keys)))
    span = ranked(keys, tokens).end_of(target, unit="documents")
    assert (keys > span.low).sum() == target


def test_nothing_is_taken_for_a_target_of_zero():
    keys, tokens = rows_with([1.0, 2.0])
    assert ranked(keys, tokens).end_of(0, unit="tokens").low == ABOVE_ALL


def test_a_histogram_gives_the_bin_in_which_the_share_ends():
    keys, tokens = rows_with(np.random.default_rng(3).standard_normal(500).tolist())
    span = ranked(keys, tokens, exact_rows=50, sample_rows=20).end_of(100, unit="documents")
    above = (keys > span.high).sum()
    assert above == span.before
    assert above < 100 <= above + ((keys > span.low) & (keys <= span.high)).sum()
