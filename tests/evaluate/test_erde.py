import numpy as np
import pytest

from raypipe.evaluate.erde import erde

TRUTH = np.array([True] * 13 + [False] * 87)


def test_an_oracle_that_fires_at_the_first_post_pays_its_lateness_alone() -> None:
    found = erde(TRUTH, TRUTH, np.ones(100), deadline=5)
    assert found == pytest.approx(0.13 * (1 - 1 / (1 + np.exp(-4))))
    assert found / 0.13 == pytest.approx(0.018, abs=5e-4)


def test_never_firing_costs_the_share_of_positives_and_always_firing_their_false_alarms() -> None:
    never, always = np.zeros(100, bool), np.ones(100, bool)
    assert erde(TRUTH, never, np.ones(100), deadline=5) == pytest.approx(0.13)
    assert erde(TRUTH, always, np.zeros(100), deadline=50) == pytest.approx(0.87 * 0.13, abs=1e-9)
    assert erde(TRUTH, always, np.zeros(100), deadline=50, false_alarm=1) == pytest.approx(0.87, abs=1e-9)


def test_a_late_alarm_costs_half_at_the_deadline_and_all_long_after() -> None:
    one = np.array([True])
    assert erde(one, one, np.array([50]), deadline=50) == 0.5
    assert erde(one, one, np.array([9000]), deadline=50) == 1.0


def test_subjects_must_be_alike_in_all() -> None:
    with pytest.raises(ValueError, match="must be one or more, alike in all, got 0, 0 and 0"):
        erde(np.array([]), np.array([]), np.array([]), deadline=5)
    with pytest.raises(ValueError, match="got 100, 1 and 1"):
        erde(TRUTH, [True], [1], deadline=5)
