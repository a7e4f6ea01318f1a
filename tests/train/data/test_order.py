"""The order of training: exact counts, permutation, windows, positions."""

import time
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from raypipe.storage.folder import Folder
from raypipe.train.data.index import Listing, Mix, every_row_once, read_listing, read_mix
from raypipe.train.data.order import DataOrder, Epoch
from tests.train.synthetic import write_selection, write_tokens


def listing(lengths: list[int], *, n_files: int = 1) -> Listing:
    n = len(lengths)
    borders = np.linspace(0, n, n_files + 1).astype(np.int64)
    return Listing(
        tuple(f"{file:03d}.parquet" for file in range(n_files)),
        tuple(f"{file:03d}.jsonl" for file in range(n_files)),
        borders,
        np.zeros(n_files, np.int64),
        np.array(lengths, np.int32),
        np.arange(n, dtype=np.int64),
        np.zeros(n, np.int16),
        ("all",),
    )


def weighted(base: Listing, weight: list[float]) -> Mix:
    return replace(every_row_once(base), weight=np.array(weight, np.float32))


@settings(max_examples=60)
@given(
    lengths=st.lists(st.integers(0, 30), min_size=4, max_size=40).filter(any),
    n_files=st.integers(1, 4),
    window=st.integers(8, 200),
    length=st.integers(2, 8),
    seed=st.integers(0, 5),
)
def test_an_epoch_holds_every_token_once(lengths, n_files, window, length, seed):
    mix = every_row_once(listing(lengths, n_files=n_files))
    stream = DataOrder(mix, seed=seed, length=length, window_tokens=window)
    pieces = stream.pieces(0, sum(lengths))
    seen = Counter(
        (row, token)
        for row, begin, size in zip(pieces.rows, pieces.begins, pieces.sizes, strict=True)
        for token in range(begin, begin + size)
    )
    assert seen == Counter((row, token) for row, n in enumerate(lengths) for token in range(n))


@settings(max_examples=40)
@given(cuts=st.lists(st.integers(1, 400), min_size=1, max_size=6), seed=st.integers(0, 3))
def test_the_stream_is_the_same_however_it_is_cut(cuts, seed):
    mix = weighted(listing([5, 9, 0, 13, 2, 7] * 3, n_files=3), [1, 2.5, 1, 0.3, 0, 1.7] * 3)
    borders = sorted({0, 400, *cuts})

    def tokens(pieces):
        return [
            (row, token)
            for row, begin, size in zip(pieces.rows, pieces.begins, pieces.sizes, strict=True)
            for token in range(begin, begin + size)
        ]

    whole = tokens(DataOrder(mix, seed=seed, length=4, window_tokens=40).pieces(0, 400))
    fresh = [DataOrder(mix, seed=seed, length=4, window_tokens=40) for _ in borders]
    parts = [tokens(s.pieces(a, b)) for s, a, b in zip(fresh, borders, borders[1:], strict=False)]
    assert [token for part in parts for token in part] == whole


def test_a_weight_is_whole_copies_and_one_more_by_chance():
    n = 4000
    mix = weighted(listing([3] * n, n_files=8), [2.25] * n)
    counts = [Epoch(mix, seed=1, number=number, window_tokens=1000).copies for number in range(4)]
    assert set(np.unique(counts)) == {2, 3}
    assert abs(np.mean(counts) - 2.25) < 0.02
    assert not np.array_equal(counts[0], counts[1])
    assert np.array_equal(counts[0], Epoch(mix, seed=1, number=0, window_tokens=999).copies)


def test_a_weight_of_zero_is_never_seen():
    mix = weighted(listing([3] * 100, n_files=4), [0.0, 1.0] * 50)
    rows = DataOrder(mix, seed=0, length=8, window_tokens=64).pieces(0, 600).rows
    assert set(rows % 2) == {1}


@pytest.mark.parametrize("window_tokens", [50, 100, 200])
def test_copies_never_share_a_window(window_tokens):
    mix = weighted(listing([5] * 120, n_files=12), [3.0] * 120)
    epoch = Epoch(mix, seed=2, number=0, window_tokens=window_tokens)
    assert epoch.n_windows >= 3
    for window in range(epoch.n_windows):
        rows = epoch.documents(window)
        assert len(rows) == len(np.unique(rows))


def test_two_copies_share_a_window_only_if_it_is_the_only_one():
    mix = weighted(listing([5] * 40, n_files=4), [2.0] * 40)
    for window_tokens in (100, 199):
        epoch = Epoch(mix, seed=0, number=0, window_tokens=window_tokens)
        assert epoch.n_windows == 2
        for window in range(2):
            assert len(np.unique(epoch.documents(window))) == len(epoch.documents(window)) > 0


def test_epochs_and_seeds_have_other_orders():
    mix = every_row_once(listing([4] * 50, n_files=5))
    orders = [DataOrder(mix, seed=seed, length=8, window_tokens=64).pieces(at, at + 200).rows.tolist()
              for seed, at in ((0, 0), (0, 200), (1, 0))]  # fmt: skip
    assert sorted(orders[0]) == sorted(orders[1]) == sorted(orders[2])
    assert orders[0] != orders[1]
    assert orders[0] != orders[2]


GOLDEN = [5, 8, 7, 6, 11, 4, 9, 3, 11, 2, 7, 1, 0]


def test_the_order_is_the_one_it_always_was():
    mix = weighted(listing([4, 3, 5, 2] * 3, n_files=3), [1.0, 1.5, 0.5, 2.0] * 3)
    rows = DataOrder(mix, seed=7, length=4, window_tokens=16).pieces(0, 40).rows.tolist()
    assert rows == GOLDEN  # a resumed run of an older version must go on in the same order


def test_a_far_position_is_located_in_its_source_without_a_walk_through_all_before(tmp_path):
    n, n_files = 2_000_000, 200
    rng = np.random.default_rng(0)
    mix = weighted(listing(rng.integers(1, 400, n).tolist(), n_files=n_files), rng.uniform(0, 2, n).tolist())
    stream = DataOrder(mix, seed=0, length=1024)
    stream.locate(0)
    started = time.perf_counter()
    place = stream.locate(123_456_789)
    assert time.perf_counter() - started < 30.0  # some milliseconds; a walk over the rows of 60 epochs takes minutes
    assert place.path.endswith(".jsonl")


def test_a_located_token_is_the_token_that_was_seen(tmp_path):
    tokens = write_tokens(tmp_path / "tokens", n_files=4)
    base = read_listing(tokens)
    stream = DataOrder(every_row_once(base), seed=3, length=16, window_tokens=128)
    pieces = stream.pieces(0, 320)
    position = 0
    for row, begin, size in zip(pieces.rows, pieces.begins, pieces.sizes, strict=True):
        place = stream.locate(position)
        assert (place.path, place.row, place.token) == (*base.place(row), begin)
        position += int(size)


def test_rows_go_on_counting_in_the_second_file_of_a_source(tmp_path):
    base = read_listing(write_tokens(tmp_path / "tokens", n_files=4, n_rows=20))
    assert base.place(0) == ("part0.jsonl", 0)
    assert base.place(25) == ("part0.jsonl", 25)
    assert base.place(41) == ("part1.jsonl", 1)
    assert (base.n_tokens[[3, 10]] == 0).all()


def test_a_selection_cut_otherwise_is_joined_by_source_and_row(tmp_path):
    tokens = write_tokens(tmp_path / "tokens", n_files=4)
    selection = write_selection(tmp_path / "selection", tokens, weight=lambda n: n / 10, heldout=lambda n: n == 5)
    mix = read_mix(read_listing(tokens), selection)
    assert mix.weight[[0, 4, 5, 39, 41]] == pytest.approx([0, 0.4, 0, 3.9, 0.1])
    assert np.flatnonzero(mix.is_heldout).tolist() == [5, 45]


def test_a_selection_of_other_texts_is_refused_at_the_first_row(tmp_path):
    tokens = write_tokens(tmp_path / "tokens")
    other = write_tokens(tmp_path / "other")
    selection = write_selection(tmp_path / "selection", other, weight=lambda n: 1.0)
    base = read_listing(tokens)
    changed = base.text_hash.copy()
    changed[7] += 1
    with pytest.raises(ValueError, match=r"another text at row 7 .*'part0.jsonl'"):
        read_mix(replace(base, text_hash=changed), selection)
    short = read_listing(write_tokens(tmp_path / "short", n_rows=19))
    with pytest.raises(ValueError, match="40 rows of it for the 38 tokenised"):
        read_mix(short, selection)


def test_a_stream_refuses_what_it_cannot_cut():
    mix = every_row_once(listing([4] * 4))
    with pytest.raises(ValueError, match="length must be at least 2"):
        DataOrder(mix, seed=0, length=1)
    with pytest.raises(ValueError, match="weight above 0"):
        DataOrder(weighted(listing([4] * 4), [0.0] * 4), seed=0, length=4)
    with pytest.raises(FileNotFoundError, match="tokenize_corpus"):
        read_listing(Folder("/nowhere/tokens"))
