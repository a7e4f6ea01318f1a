import numpy as np
import pytest

from raypipe.select.summary import Overlap, Tally, totals, warnings
from tests.select.ranking.test_orders import rows_with


def tally_of(*parts: tuple[int, list[int]]) -> Tally:
    """Of parts of n rows with scores 0..n-1, of which some are selected."""
    tally = Tally()
    for n, selected in parts:
        is_selected = np.isin(np.arange(n), selected)
        tally.update(rows_with(np.arange(n)), is_copy=np.zeros(n, bool), is_selected=is_selected)
    return tally


def test_sums_are_those_of_the_rows():
    found = tally_of((4, [2, 3])).result()["web"]
    assert (found["rows"], found["eligible"], found["selected"], found["duplicates"]) == (4, 4, 2, 0)
    assert (found["tokens_eligible"], found["tokens_selected"]) == (4 + 3 + 2 + 1, 2 + 1)
    assert (found["mean_score_selected"], found["mean_score_rest"], found["lowest_score_selected"]) == (2.5, 0.5, 2)


def test_merged_parts_are_the_whole():
    left, right = tally_of((4, [2])), tally_of((6, [5, 0]))
    right.merge(left)
    assert right.result() == tally_of((4, [2]), (6, [5, 0])).result()


def test_a_domain_of_which_nothing_is_selected_has_no_means():
    found = tally_of((3, [])).result()["web"]
    assert found["mean_score_selected"] is None
    assert found["lowest_score_selected"] is None
    assert totals({"web": found})["selected"] == 0


def test_overlap_is_jaccard_by_documents_and_a_share_by_tokens():
    bits = {"selection": np.array([1, 1, 0, 0]), "random": np.array([0, 1, 1, 0])}
    overlap, other = Overlap(("selection", "random")), Overlap(("selection", "random"))
    overlap.update({arm: rows[:2] for arm, rows in bits.items()}, np.array([10, 30]))
    other.update({arm: rows[2:] for arm, rows in bits.items()}, np.array([20, 40]))
    other.merge(overlap)
    (found,) = other.result()
    assert found["arms"] == ["selection", "random"]
    assert found["documents"] == pytest.approx(1 / 3)
    assert found["tokens"] == pytest.approx(30 / 45)


def test_more_than_one_percent_of_copies_is_warned_of():
    domain = tally_of((200, [1])).result()["web"]
    assert warnings({"web": {**domain, "duplicates": 2}}, {"web": "web"}) == []
    (found,) = warnings({"web": {**domain, "duplicates": 3}}, {"web": "web"})
    assert "1.5% of the rows (3)" in found


def test_pooled_domains_and_an_empty_selection_are_warned_of():
    domain = tally_of((5, [])).result()["web"]
    pooled, empty = warnings({"web": domain}, {"web": "(pooled)"})
    assert "'web'" in pooled
    assert "no row is selected" in empty
