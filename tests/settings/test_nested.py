from dataclasses import dataclass, field

import pytest

from raypipe.settings.nested import built, changed, flat, settings_of


@dataclass(frozen=True)
class Rate:
    """A part."""

    rate: float = 0.1
    decay: str = "linear"

    def __post_init__(self) -> None:
        if self.rate < 0:
            raise ValueError(f"rate must be at least 0, got {self.rate}.")


@dataclass(frozen=True, kw_only=True)
class Training:
    """A part with a part."""

    rate: Rate = Rate(rate=0.2)  # another name than its setting's would do, but need not be
    steps: int


@dataclass(frozen=True, kw_only=True)
class Job:
    """A job."""

    training: Training
    names: tuple[str, ...] = field(default_factory=lambda: ("a",))


def test_settings_go_by_their_own_names_through_parts_in_parts():
    job = built(Job, steps=3)
    assert job == Job(training=Training(rate=Rate(rate=0.2), steps=3))
    assert flat(job) == {"rate": 0.2, "decay": "linear", "steps": 3, "names": ("a",)}
    assert settings_of(Job)["decay"].path == ("training", "rate")
    assert built(Job, **flat(job)) == job


def test_a_change_leaves_the_rest_and_is_checked_by_its_part():
    job = built(Job, steps=3, decay="cosine")
    assert flat(changed(job, rate=0.5)) == {**flat(job), "rate": 0.5}
    assert flat(job)["rate"] == 0.2
    with pytest.raises(ValueError, match="rate must be at least 0"):
        changed(job, rate=-1.0)


def test_a_setting_that_is_not_there_or_is_needed_is_named():
    with pytest.raises(TypeError, match="no setting 'stepz'; the nearest is 'steps'"):
        built(Job, stepz=3)
    with pytest.raises(TypeError, match="Job needs steps"):
        built(Job)


def test_two_settings_of_one_name_are_refused():
    @dataclass(frozen=True)
    class Twice:
        """Two parts with the same setting."""

        one: Rate = Rate()
        other: Rate = Rate()

    with pytest.raises(TypeError, match=r"two settings called 'rate': one.rate and other.rate"):
        settings_of(Twice)
