"""The functions and rows of `make walk` belong together, and label most rows rightly."""

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from jobs.parts.labelling import read_functions
from raypipe import sample
from raypipe.contracts.parts import apply
from raypipe.corpus.rows import source_of
from raypipe.label.dawid_skene import DawidSkene
from raypipe.label.functions.cast_votes import CastVotes

RECIPES = Path(__file__).parents[2] / "jobs/recipes"


def test_ten_functions_label_the_packages_that_come_along() -> None:
    asked = read_functions(str(RECIPES / "debtags_functions.yaml"))
    rows = pq.read_table(sample.debtags_file()).to_pylist()
    assert len(asked.functions) == 10
    assert {row["label"] for row in rows} == set(asked.classes)
    assert len({row["id"] for row in rows}) == len(rows) == 986
    assert all(row["source"].startswith("Debian 12") for row in rows)
    cast = apply(CastVotes(asked.functions, asked.classes), source_of([row["text"] for row in rows]))
    votes = np.array(cast["votes"].to_pylist())
    truth, covered = np.array([asked.classes.index(row["label"]) for row in rows]), (votes >= 0).any(axis=1)
    found = DawidSkene(n_classes=5, uses_abstentions=True).fit(votes).predict(votes)
    assert covered.sum() == 818
    assert np.mean(found == truth, where=covered) > 0.9


def test_the_functions_for_comments_can_be_read() -> None:
    asked = read_functions(str(RECIPES / "youtube_functions.yaml"))
    assert (asked.classes, len(asked.functions)) == (("ham", "spam"), 10)
