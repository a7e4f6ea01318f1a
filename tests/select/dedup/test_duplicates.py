import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from raypipe.select.dedup.duplicates import Copies

FILES = st.lists(st.lists(st.integers(-4, 4), max_size=8), min_size=1, max_size=5)


def slow_copies(files: list[list[int]]) -> dict[int, list[int]]:
    seen: set[int] = set()
    found: dict[int, list[int]] = {}
    for file, hashes in enumerate(files):
        for row, text_hash in enumerate(hashes):
            if text_hash in seen:
                found.setdefault(file, []).append(row)
            seen.add(text_hash)
    return found


def gathered(files: list[list[int]], order: list[int], **parts: int) -> Copies:
    """One accumulator a file, merged in this order."""
    whole = Copies(**parts)
    for file in order:
        part = Copies(**parts)
        part.update(file, np.arange(len(files[file])), np.array(files[file], np.int64))
        whole.merge(part)
    return whole


@given(files=FILES, data=st.data())
def test_the_first_of_each_text_in_corpus_order_is_kept_in_any_order_of_merging(files, data):
    order = data.draw(st.permutations(range(len(files))))
    found = gathered(files, order).result()
    assert {file: rows.tolist() for file, rows in found.items()} == slow_copies(files)


@given(files=FILES, n_parts=st.integers(1, 4))
def test_hashes_held_a_part_at_a_time_give_the_same_copies(files, n_parts):
    found: dict[int, set[int]] = {}
    for remainder in range(n_parts):
        part = gathered(files, list(range(len(files))), n_parts=n_parts, remainder=remainder).result()
        for file, rows in part.items():
            found.setdefault(file, set()).update(rows.tolist())
    assert {file: sorted(rows) for file, rows in found.items()} == slow_copies(files)


def test_no_rows_have_no_copies():
    assert Copies().result() == {}


@pytest.mark.parametrize("row", [0, 2**31])
def test_row_numbers_of_large_files_survive(row):
    copies = Copies()
    copies.update(3, np.array([row, row + 1]), np.array([7, 7]))
    assert {file: rows.tolist() for file, rows in copies.result().items()} == {3: [row + 1]}
