from dataclasses import dataclass, field

import pytest

from raypipe.settings.identity import RUNNING, counts_as, identity_of


@dataclass(frozen=True)
class Rate:
    """A part."""

    rate: float = 0.1


@dataclass(frozen=True)
class Part:
    """A stage's settings."""

    model: str = field(metadata=counts_as(lambda ref: {"model_sha256": ref.upper()}))
    heads: tuple[tuple[int, int], ...] = ((1, 2),)
    workers: int = field(default=1, metadata=RUNNING)
    rate: Rate = Rate()
    state: int = field(default=0, init=False)


def test_every_field_counts_unless_it_says_otherwise():
    expected = {"model_sha256": "M", "heads": [[1, 2]], "rate": 0.1, "version": 3}
    assert identity_of(Part("m", workers=8), version=3) == expected  # as JSON gives it back
    assert identity_of(Part("m"), version=3) == expected


def test_two_values_by_one_name_are_refused():
    assert identity_of(Rate(), Rate()) == {"rate": 0.1}
    with pytest.raises(ValueError, match=r"one value for 'rate', got 0.1 and 0.2"):
        identity_of(Rate(), Rate(0.2))
