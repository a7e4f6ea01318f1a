import numpy as np
import pyarrow as pa
import pytest

from raypipe.select.rows import NO_DOMAIN, Rows, ahead, columns_read, rows_of
from raypipe.select.selection import Selection
from raypipe.settings.nested import built
from tests.select.conftest import SCORES, document, skipped


def table_of(*changes: dict) -> pa.Table:
    rng = np.random.default_rng(0)
    rows = [{**document(number, "web", rng), **change} for number, change in enumerate(changes)]
    return pa.Table.from_pylist(rows, schema=SCORES)


def settings(**changes) -> Selection:
    return built(Selection, **{"holdout": 0.0, **changes}).of_scores({}, SCORES.names)


def read(table: pa.Table, **changes) -> Rows:
    own = settings(**changes)
    return rows_of(table, own.eligibility, seed=own.seed, further=own.further)


def names_read(**changes) -> list[str]:
    own = settings(**changes)
    return columns_read(own.eligibility, own.further)


def test_a_floor_of_the_loss_changes_the_denominator_only():
    losses = [(0.1, 0.3), (2.0, 3.0), (1e-7, 1e-3)]
    rise = [2.0, 0.5, None]  # none where the loss is next to nothing
    rows = [{"loss": a, "loss_masked": b, "influence": r} for (a, b), r in zip(losses, rise, strict=True)]
    found = read(table_of(*rows), min_loss=0.5)
    assert found.score == pytest.approx([0.4, 0.5, np.nan], nan_ok=True)
    assert found.is_candidate.tolist() == [True, True, False]


def test_a_floor_for_a_score_that_divides_by_no_loss_is_refused():
    with pytest.raises(ValueError, match="'zlib_ratio' isn't; leave it out"):
        read(table_of({}), min_loss=0.5, score="zlib_ratio")


def test_influence_is_taken_as_scored_without_a_floor():
    assert read(table_of({"influence": 0.7})).score == pytest.approx([0.7])


@pytest.mark.parametrize("influence", [None, float("nan"), float("inf")])
def test_rows_without_a_finite_score_are_not_eligible(influence):
    assert read(table_of({"influence": influence})).is_candidate.tolist() == [False]


def test_short_rows_are_scored_but_not_eligible():
    rows = read(table_of({"n_tokens": 9}, {"n_tokens": 10}), min_tokens=10)
    assert rows.is_scored.tolist() == [True, True]
    assert rows.is_candidate.tolist() == [False, True]


def test_skipped_rows_are_neither_scored_nor_held_out():
    rows = read(pa.Table.from_pylist([skipped(0, "web")], schema=SCORES), holdout=0.999)
    assert not (rows.is_scored | rows.is_heldout | rows.is_candidate).any()


def test_a_score_of_which_less_is_better_is_turned_round():
    table = table_of({"zlib_ratio": 2.0, "loss": 2.0}, {"zlib_ratio": 3.0, "loss": 3.0})
    assert read(table, score="zlib_ratio", lower_is_better=True).score.tolist() == [-2, -3]
    assert read(table, score="zlib_ratio").score.tolist() == [2, 3]
    assert read(table, score="loss").score.tolist() == [-2, -3]  # of a loss that is known


def test_rows_without_a_regressor_are_not_eligible_where_it_is_asked_for():
    table = table_of({"zlib_ratio": None})
    assert read(table).is_candidate.tolist() == [True]
    assert read(table, adjust=("zlib",)).is_candidate.tolist() == [False]


def test_rows_without_a_domain_have_one_of_their_own():
    rows = read(table_of({"domain": None}, {"domain": "code"}))
    assert [rows.domains[code] for code in rows.domain] == [NO_DOMAIN, "code"]


def test_an_empty_table_gives_no_rows():
    assert len(read(SCORES.empty_table())) == 0


def test_only_the_columns_that_are_needed_are_read():
    names = names_read(arms=())
    assert "id" not in names
    assert "zlib_ratio" not in names
    assert "loss_masked" not in names
    assert "zlib_ratio" in names_read(adjust=("zlib",))
    assert "loss_masked" in names_read(min_loss=0.1)


def test_reading_ahead_keeps_the_order_and_is_bounded():
    started = []

    def items():
        for number in range(50):
            started.append(number)
            yield number

    found = ahead(lambda number: number * number, items(), n_threads=2)
    assert next(found) == 0
    assert len(started) == 4
    assert list(found) == [number * number for number in range(1, 50)]
