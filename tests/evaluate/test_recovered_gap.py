"""PGR: the published table, its interval, and when it is withheld."""

import numpy as np
import pytest

from raypipe.evaluate.recovered_gap import gap_error, pgr, ratio_interval, recovered_gap

WEAK, CEILING = (90.0, 86.0, 87.5, 48.8), (93.4, 89.9, 89.8, 50.8)
TABLE = {  # accuracy and PGR in %, of Lang, Huang and Li (arXiv 2501.13124), on SciQ, BoolQ, CosmosQA, AnthropicHH
    "xent": ((91.5, 88.0, 88.2, 49.5), (44.1, 51.3, 30.4, 35.0)),
    "confidence": ((91.4, 88.2, 87.9, 49.5), (41.2, 56.4, 17.4, 35.0)),
    "product": ((91.6, 88.1, 88.1, 49.2), (47.1, 53.8, 26.1, 20.0)),
    "consultancy": ((91.5, 87.8, 88.3, 49.3), (44.1, 46.2, 34.8, 25.0)),
    "market-making": ((91.6, 87.6, 88.2, 49.5), (47.1, 41.0, 30.4, 35.0)),
    "single": ((91.7, 88.2, 88.4, 49.5), (50.0, 56.4, 39.1, 35.0)),
    "draws": ((91.8, 88.3, 88.4, 49.7), (52.9, 59.0, 39.1, 45.0)),
    "ensemble": ((92.6, 88.7, 88.8, 50.2), (76.5, 69.2, 56.5, 70.0)),
}


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.mark.parametrize("method", TABLE)
def test_the_published_table_is_reproduced(method):
    accuracy, published = TABLE[method]
    found = [100 * pgr(weak, student, ceiling) for weak, student, ceiling in zip(WEAK, accuracy, CEILING, strict=True)]
    assert found == pytest.approx(published, abs=0.0501)


def draws(rng, accuracy, shape):
    return rng.random(shape) < accuracy


def test_a_wide_gap_gives_the_ratio_of_the_means(rng):
    weak, student, ceiling = (draws(rng, share, (5, 2000)) for share in (0.6, 0.7, 0.8))
    found = recovered_gap(weak, student, ceiling)
    expected = (student.mean() - weak.mean()) / (ceiling.mean() - weak.mean())
    assert found.pgr == pytest.approx(expected)
    assert found.interval[0] < expected < found.interval[1]
    assert found.withheld is None
    own = [pgr(weak[s].mean(), student[s].mean(), ceiling[s].mean()) for s in range(5)]
    assert found.by_seed == pytest.approx(own)


def test_a_gap_within_noise_gives_none_and_says_why(rng):
    weak, student, ceiling = (draws(rng, share, (3, 200)) for share in (0.70, 0.71, 0.73))
    found = recovered_gap(weak, student, ceiling)
    assert found.pgr is None
    assert found.interval is None
    assert found.by_seed == [None] * 3
    assert "less than 3 standard errors" in found.withheld
    assert recovered_gap(ceiling, student, weak).pgr is None  # a ceiling below the weak model


def test_no_gap_at_all_is_withheld_and_not_divided_by():
    same = np.ones((2, 10), bool)
    assert recovered_gap(same, same, same).withheld
    with pytest.raises(ValueError, match=r"must differ .* got 0.5"):
        pgr(0.5, 0.6, 0.5)


def test_the_error_of_a_gap_is_that_of_repeated_draws(rng):
    """One seed: over test sets drawn anew the gap varies by what the standard error says."""
    gaps, errors = [], []
    for _ in range(400):
        weak, ceiling = draws(rng, 0.6, (1, 300)), draws(rng, 0.8, (1, 300))
        gaps.append(ceiling.mean() - weak.mean())
        errors.append(gap_error(weak, ceiling))
    assert np.mean(errors) == pytest.approx(np.std(gaps), rel=0.12)


def test_seeds_that_differ_widen_the_error(rng):
    weak = np.repeat(draws(rng, 0.6, (1, 2000)), 4, axis=0)
    ceiling = np.stack([draws(rng, share, 2000) for share in (0.6, 0.7, 0.8, 0.9)])
    assert gap_error(weak, ceiling) > 0.05  # 0.129 / sqrt(4) over seeds; over rows alone 0.012


def test_the_interval_of_a_ratio_covers_it_as_often_as_it_says(rng):
    hits, n = 0, 2000
    for _ in range(n):
        gaps = rng.normal(0.2, 0.04, 5)
        gains = 0.4 * gaps + rng.normal(0, 0.02, 5)
        low, high = ratio_interval(gains, gaps)
        hits += low <= 0.4 <= high
    assert hits / n == pytest.approx(0.95, abs=0.015)


def test_an_interval_of_a_ratio_needs_two_seeds_and_a_denominator_off_zero():
    assert ratio_interval(np.array([0.1]), np.array([0.2])) is None
    assert ratio_interval(np.array([0.1, 0.2]), np.array([-0.2, 0.3])) is None


def test_other_shapes_are_refused():
    two, three = np.ones((2, 5), bool), np.ones((3, 5), bool)
    with pytest.raises(ValueError, match=r"must be \[seeds, rows\] alike"):
        recovered_gap(two, two, three)
    with pytest.raises(ValueError, match="at least 1 seed and 2 rows"):
        recovered_gap(two[:, :1], two[:, :1], two[:, :1])
