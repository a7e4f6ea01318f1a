"""pass@k."""

from itertools import combinations

import numpy as np
import pytest

from raypipe.evaluate.pass_at_k import pass_at_k


@pytest.mark.parametrize(("n", "c"), [(1, 0), (1, 1), (5, 2), (6, 0), (6, 6), (7, 1)])
def test_it_is_the_share_of_all_draws_of_k_that_hold_one_that_passed(n, c):
    passed = np.arange(n) < c
    for k in range(1, n + 1):
        assert pass_at_k(n, c, k) == pytest.approx(
            np.mean([passed[list(of)].any() for of in combinations(range(n), k)])
        )


def test_impossible_numbers_are_refused():
    with pytest.raises(ValueError, match="k 3, n 2, passed 1"):
        pass_at_k(2, 1, 3)
    with pytest.raises(ValueError, match="passed 4"):
        pass_at_k(3, 4, 1)
