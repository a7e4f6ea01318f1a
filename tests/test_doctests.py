"""The examples in docstrings run as they stand and give what they say."""

import doctest
import importlib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
OPENS_A_MODEL = {"raypipe.embed.texts", "raypipe.score.texts"}
PACKAGES = {"classify", "describe", "evaluate", "label", "losses", "rewrite", "score"}
"""Those whose public parts are called from Python; each has some example."""


def modules_with_examples() -> list[str]:
    return [
        ".".join(path.relative_to(ROOT).with_suffix("").parts)
        for path in sorted((ROOT / "raypipe").rglob("*.py"))
        if "\n    >>> " in path.read_text(encoding="utf-8").replace("\n        >>> ", "\n    >>> ")
    ]


MODULES = modules_with_examples()


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.slow if name in OPENS_A_MODEL else ()) for name in MODULES]
)
def test_the_examples_of_a_module_give_what_they_say(name: str) -> None:
    found = doctest.testmod(importlib.import_module(name), report=True)
    assert found.attempted > 0
    assert found.failed == 0


def test_every_package_that_is_called_from_python_has_examples() -> None:
    assert {name.split(".")[1] for name in MODULES} >= PACKAGES
    statistics = [path.stem for path in (ROOT / "raypipe/score/statistics").glob("[!_]*.py")]
    assert [one for one in statistics if f"raypipe.score.statistics.{one}" not in MODULES] == []
