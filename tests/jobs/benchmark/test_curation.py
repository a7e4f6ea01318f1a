"""The rules give the verdicts of datatrove's filters: what its release said of the embedded sample is stored."""

import json
from pathlib import Path

import pytest

from jobs.benchmark import curation
from jobs.benchmark.curation import NAMES, Config, bars, compared, datatrove_verdicts, raypipe_verdicts
from raypipe.select.rules.published import PUBLISHED

STORED = json.loads((Path(__file__).parents[2] / "describe/stored/datatrove.json").read_text())
TEXTS = curation._texts(("sample",), 10_000)


@pytest.fixture(scope="module")
def ours() -> dict:
    return raypipe_verdicts(TEXTS)


def theirs() -> dict:
    dropped = {name: [at in set(rows) for at in range(STORED["n"])] for name, rows in STORED["dropped"].items()}
    return {**STORED, "dropped": dropped, "seconds": {"all": [2.0, 1.0]}}


def test_every_rule_of_every_filter_has_a_rule(ours: dict) -> None:
    assert {name: len(own) for name, own in NAMES.items()} == {name: len(own) for name, own in PUBLISHED.items()}
    assert ours["dropped"].keys() == STORED["dropped"].keys()
    assert sum(map(len, STORED["dropped"].values())) > 300  # the sample has what they are about


@pytest.mark.parametrize("rule", STORED["dropped"])
def test_a_rule_drops_what_datatrove_drops(rule: str, ours: dict) -> None:
    assert [at for at, is_dropped in enumerate(ours["dropped"][rule]) if is_dropped] == STORED["dropped"][rule]


def test_texts_have_as_many_words(ours: dict) -> None:
    assert len(TEXTS) == STORED["n"]
    unlike = [at for at, n in enumerate(ours["n_words"]) if n != STORED["n_words"][at]]
    assert len(unlike) <= 0.01 * STORED["n"]


def test_a_difference_is_traced_and_misses_the_bar(ours: dict) -> None:
    other = {**ours, "dropped": {name: list(rows) for name, rows in ours["dropped"].items()}}
    for at in (0, 1, 2):
        other["dropped"]["c4.min_num_sentences"][at] ^= True
    found = compared(TEXTS, other, theirs())
    assert [(one["rule"], one["text"]) for one in found["differences"]] == [
        ("c4.min_num_sentences", at) for at in range(3)
    ]
    assert found["rules"]["c4.min_num_sentences"]["agreement"] == pytest.approx(1 - 3 / len(TEXTS))
    agreement, speed = bars({**found, "ratio": {"all": 4.0}}, Config())
    assert (agreement["met"], speed["met"]) == (False, False)
    assert all(bar["met"] for bar in bars({**compared(TEXTS, ours, theirs()), "ratio": {"all": 5.0}}, Config()))


def test_a_python_without_datatrove_is_refused() -> None:
    with pytest.raises(ValueError, match=r"oracle must be a Python with datatrove \(pip install 'datatrove"):
        datatrove_verdicts("/usr/bin/false", ["a"])
