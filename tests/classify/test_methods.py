"""The table of classifiers: every line is a class, and none is loaded before it is wanted."""

import subprocess
import sys

import pytest

from raypipe.classify.methods import METHODS, method_class
from tests.conformance.finding import ROOT
from tests.conformance.test_estimators import ESTIMATORS


@pytest.mark.parametrize("name", METHODS)
def test_a_line_is_an_estimator(name: str) -> None:
    assert method_class(name) in ESTIMATORS


def test_the_table_loads_no_method() -> None:
    code = "import sys, raypipe.classify.methods; print([name for name in ('sklearn', 'torch') if name in sys.modules])"
    found = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


def test_an_unknown_name_is_refused_with_those_there_are() -> None:
    with pytest.raises(ValueError, match=r"method must be one of nearest-centroid, .*, got 'centroid'"):
        method_class("centroid")
