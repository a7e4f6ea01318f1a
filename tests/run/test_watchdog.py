import pytest

from raypipe.run import nodes
from raypipe.run.ledger import Activity
from raypipe.run.patience import Patience
from raypipe.run.watchdog import Watchdog

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
    ],
)
def test_each_phase_has_its_limit(phase: str, slowest_s: float, limit_s: float) -> None:
    activity = Activity(phase=phase)
    assert not PATIENCE.is_over(activity, limit_s - 1, 0.0, slowest_s=slowest_s)
    assert PATIENCE.is_over(activity, limit_s + 1, 0.0, slowest_s=slowest_s)


@pytest.mark.parametrize(("phase", "is_over"), [("setup", False), ("reading", True), ("working", True), ("idle", True)])
def test_a_stopped_process_is_not_given_the_time_of_a_slow_one(phase: str, is_over: bool) -> None:
    assert PATIENCE.is_over(Activity(phase=phase), 61.0, 61.0, slowest_s=0.0) is is_over
    assert not PATIENCE.is_over(Activity(phase=phase), 59.0, 59.0, slowest_s=0.0)


@pytest.mark.parametrize("phase", ["idle", "waiting"])
def test_one_that_waits_and_ticks_may_wait(phase: str) -> None:
    assert not PATIENCE.is_over(Activity(phase=phase), 1e6, 4.0, slowest_s=1.0)


def test_short_patience_does_not_take_the_time_between_two_ticks_for_a_stop() -> None:
    assert not Patience(batch_s=1.0).is_over(Activity(phase="idle"), 9.0, 9.0, slowest_s=1.0)


def test_a_notice_that_could_not_be_passed_on_is_passed_on_at_the_next_look(monkeypatch: pytest.MonkeyPatch) -> None:
    fails, stops = [True], []

    def is_last(going: frozenset[str]) -> bool:
        if fails.pop():
            raise TimeoutError
        return True

    monkeypatch.setattr(nodes, "leaving", lambda: frozenset("a"))
    monkeypatch.setattr(nodes, "is_last", is_last)
    dog = Watchdog(None, PATIENCE, lambda: stops.append(1))
    with pytest.raises(TimeoutError):
        dog._look_at_nodes()
    fails.append(False)
    dog._look_at_nodes()
    dog._look_at_nodes()  # nothing new
    assert stops == [1]
