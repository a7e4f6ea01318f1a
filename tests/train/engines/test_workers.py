"""What workers tell one another, with the others' words given."""

from dataclasses import dataclass
from typing import Any

import pytest
import torch

from raypipe.train.engines.workers import Workers


@dataclass(frozen=True)
class First(Workers):
    """The first of two, the second of which says this."""

    other: Any = ""

    def gather(self, value: Any) -> list[Any]:
        return [value, self.other]


def fails() -> None:
    raise OSError("no space left")


def test_what_fails_on_one_worker_is_raised_on_all() -> None:
    well, told = First(0, 2, 0, torch.device("cpu")), First(0, 2, 0, torch.device("cpu"), "worker 1: no such file")
    assert well.together(lambda: 3) == 3
    with pytest.raises(ValueError, match=r"worker 0 on .*: no space left"):
        well.together(fails)
    with pytest.raises(ValueError, match="worker 1: no such file"):
        told.together(lambda: 3)


def test_a_worker_alone_raises_what_it_met() -> None:
    with pytest.raises(OSError, match="no space left"):
        Workers(0, 1, 0, torch.device("cpu")).together(fails)
