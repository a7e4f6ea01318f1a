import pytest

from raypipe.run.ledger import Activity
from raypipe.run.watchdog import Patience

PATIENCE = Patience(batch_s=60, times=5, setup_s=900)


@pytest.mark.parametrize(
    ("phase", "slowest_s", "limit_s"),
    [
        ("setup", 0.0, 900),
        ("setup", 1.0, 900),
        ("reading", 1.0, 900),
        ("working", 1.0, 60),
        ("working", 12.0, 60),
        ("working", 20.0, 100),
        ("working", 0.0, 900),  # nobody knows yet what a batch takes
        ("idle", 20.0, 60),  # it ticks
        ("waiting", 20.0, 60),  # so does a reader that is held up
    ],
)
def test_each_phase_has_its_limit(phase: str, slowest_s: float, limit_s: float) -> None:
    activity = Activity(phase=phase)
    assert not PATIENCE.is_over(activity, limit_s - 1, slowest_s=slowest_s)
    assert PATIENCE.is_over(activity, limit_s + 1, slowest_s=slowest_s)
