"""Rows that share a key, and clusters of them, against slow loops."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from raypipe.select.dedup.clusters import clusters_of
from raypipe.select.dedup.shared_keys import RepeatedKeys, SharedKeys
from raypipe.select.dedup.text_keys import normalised, text_key

ROWS = st.lists(st.one_of(st.none(), st.lists(st.integers(0, 6), max_size=4)), min_size=1, max_size=14)


def look(linker, rows, *, at_once=3):
    """A linker's find in rows of keys; None: a row with a reason."""
    for start in range(0, len(rows), at_once):
        some = rows[start : start + at_once]
        keys = pa.array(some, pa.list_(pa.uint64()))
        reasons = pa.array([None if one is not None else "empty" for one in some], pa.string())
        linker.update(pa.table({"keys.keys": keys, "reason": reasons}), start)
    return linker.result()


def pairs(table):
    return set(zip(table["row"].to_pylist(), table["other"].to_pylist(), strict=True))


@given(rows=ROWS, n_groups=st.integers(1, 4))
def test_each_row_is_linked_to_the_first_that_has_its_key_in_any_number_of_groups(rows, n_groups):
    wanted = {
        (row, min(other for other, keys in enumerate(rows) if keys and key in keys))
        for row, of in enumerate(rows)
        for key in of or []
    }
    found = [pairs(look(SharedKeys("keys", group, n_groups), rows)) for group in range(n_groups)]
    assert set().union(*found) == {(row, other) for row, other in wanted if row != other}


@given(rows=ROWS, n_groups=st.integers(1, 3), least=st.integers(2, 3))
def test_repeated_keys_are_those_of_so_many_documents(rows, n_groups, least):
    owners = {key: [row for row, keys in enumerate(rows) if keys and key in keys] for key in range(7)}
    wanted = {(key, of[0], len(of)) for key, of in owners.items() if len(of) >= least}
    tables = [look(RepeatedKeys("keys", group, n_groups, least), rows) for group in range(n_groups)]
    assert {tuple(row.values()) for table in tables for row in table.to_pylist()} == wanted


@given(links=st.lists(st.tuples(st.integers(0, 12), st.integers(0, 12)), max_size=15))
def test_clusters_are_what_links_reach(links):
    reach = {row: row for pair in links for row in pair}
    for _ in reach:
        for one, other in links:
            reach[one] = reach[other] = min(reach[one], reach[other])
    rows, others = (np.array([pair[at] for pair in links], np.int64) for at in (0, 1))
    found = clusters_of(rows, others)
    assert found.rows.tolist() == sorted(reach)
    assert found.cluster.tolist() == [reach[row] for row in sorted(reach)]


def test_the_first_of_the_highest_stays_and_numbers_that_arent_finite_dont_count():
    found = clusters_of(np.array([1, 2, 5, 7]), np.array([0, 0, 4, 6]))
    assert found.rows.tolist() == [0, 1, 2, 4, 5, 6, 7]
    values = np.array([1.0, 3.0, 3.0, np.nan, np.nan, np.inf, 2.0])
    assert found.kept(values, keep="highest").tolist() == [1, 1, 1, 4, 4, 7, 7]
    assert found.kept(values, keep="lowest").tolist() == [0, 0, 0, 4, 4, 7, 7]
    assert found.kept().tolist() == [0, 0, 0, 4, 4, 6, 6]
    assert found.sizes.tolist() == [3, 3, 3, 2, 2, 2, 2]


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("Two  Words", " two\nwords ", True),
        ("cafe\u0301", "caf\u00e9", True),
        ("a+b", "a-b", False),
        ("two words", "twowords", False),
        ("", "   ", True),
        ("half \ud83d", "half \ud83d", True),
    ],
)
def test_texts_are_compared_without_case_and_white_space(one, other, same):
    assert (text_key(normalised(one)) == text_key(normalised(other))) is same


def test_keys_are_the_same_in_every_process():
    assert text_key("a document") == 18383076448087490940
