from collections.abc import Callable
from pathlib import Path

import pytest

from raypipe.report.numbers.excerpts import ReadText

from .synthetic import Made, make_run


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    """A run with every part and hostile text in all of them."""
    return make_run(tmp_path_factory.mktemp("run"))


@pytest.fixture
def make(tmp_path: Path) -> Callable[..., Made]:
    """Make a run in a fresh folder."""
    return lambda **settings: make_run(tmp_path / "run", **settings)


@pytest.fixture(scope="session")
def read_text(made: Made) -> ReadText:
    return made.read_text
