"""The benchmark of classifiers: what it says of packages that are there, slower or missing."""

import sys

import pytest

from jobs.benchmark import classifiers
from jobs.benchmark.classifiers import Config, answers, bars, comparisons, told

QUICK = Config(scale=0.01, apply=("logistic-regression=3000",), dimensions=8)


def test_a_missing_package_is_said_and_is_no_bar(monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    monkeypatch.setattr(classifiers, "apart", lambda function, *arguments: function(*arguments))
    monkeypatch.setattr(classifiers, "answers", lambda *asked: {})
    assert classifiers.main(QUICK) == 0
    said = capsys.readouterr().out
    assert said.count("not installed") == 5
    assert "3,000" in said
    assert "met: logistic-regression: MiB that 3,000 vectors add, at most" in said


def test_methods_of_tables_are_not_taken_over_vectors() -> None:
    with pytest.raises(ValueError, match="apply must be of methods that take vectors, got 'fold-se'"):
        classifiers.main(Config(apply=("fold-se=10",)))


def test_our_side_answers_what_both_are_asked() -> None:
    for name, (_, asked, ours) in comparisons(0.01).items():
        found = ours(asked)
        assert sum(found["seconds"].values()) > 0, name
        assert found.get("said") or found["counts"], name


def test_a_package_that_is_faster_or_says_otherwise_misses_its_bar() -> None:
    mine = {"said": [0, 1, 1, 1], "seconds": {"fit": 2.0, "predict": 2.0}}
    theirs = {"sets": {"one": {"said": [0, 1, 1, 0], "seconds": {"fit": 0.5, "predict": 0.5}}}}
    of = told(theirs, mine)
    assert (of["same"], of["ratio"]) == (0.75, 0.25)
    found = bars({"SS3": {**of, "ours": mine["seconds"]}}, {}, QUICK)
    assert [bar["met"] for bar in found] == [False, False]


def test_an_environment_without_the_package_gives_no_answer() -> None:
    assert answers(sys.executable, "tsetlin_side.py", {"sets": {}}) == {}
