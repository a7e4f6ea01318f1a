"""Texts of studies: groups stay on one side, sets are the same every time."""

import json

import numpy as np
import pytest

from jobs.studies.debate_w2s_text import N_TRUE, STUDY
from jobs.studies.open_data import FOLDER
from jobs.studies.texts import split_groups, texts_of


def test_no_group_is_in_two_parts_and_the_seed_decides():
    groups = np.repeat(np.arange(50), 4)
    first, second, test = split_groups(groups, (30, 81, 60), seed=1)
    assert len(first) == 30
    assert 78 <= len(second) <= 81
    parts = [set(groups[part]) for part in (first, second, test)]
    assert not (parts[0] & parts[1] | parts[1] & parts[2] | parts[0] & parts[2])
    again, other = split_groups(groups, (30, 81, 60), seed=1), split_groups(groups, (30, 81, 60), seed=2)
    assert again[1].tolist() == second.tolist() != other[1].tolist()
    with pytest.raises(ValueError, match="must fit into 200 rows, they are 201"):
        split_groups(groups, (100, 101), seed=0)


def test_the_sample_has_both_labels_and_no_text_twice():
    found = texts_of("sample", 500)
    assert len(found.texts) == len(set(found.texts)) == len(found.labels) == 500
    assert 0.3 < found.labels.mean() < 0.7
    assert found.sha256 == texts_of("sample", 500).sha256


def test_the_sample_fills_the_parts_that_the_study_on_texts_asks_for():
    asked = STUDY.settings
    groups = texts_of("sample", asked["n_rows"]).groups
    parts = split_groups(groups, (N_TRUE["sample"], asked["n_student"], asked["n_test"]), seed=0)
    assert len(parts[1]) > 0.95 * asked["n_student"]
    assert len(parts[2]) > 0.95 * asked["n_test"]


def test_comments_are_made_unique(tmp_path, monkeypatch):
    monkeypatch.setenv(FOLDER, str(tmp_path))
    (tmp_path / "wrench_youtube").mkdir()
    for part, texts in {"train": ["a", "b"], "valid": ["b "], "test": ["c", ""]}.items():
        rows = {str(n): {"data": {"text": text}, "label": int(text == "a")} for n, text in enumerate(texts)}
        (tmp_path / "wrench_youtube" / f"{part}.json").write_text(json.dumps(rows))
    found = texts_of("wrench_youtube", 10)
    assert (found.texts, found.labels.tolist()) == (["a", "b", "c"], [1, 0, 0])
    assert len(set(found.groups)) == 3


def test_an_unknown_set_is_refused():
    with pytest.raises(ValueError, match=r"data must be one of sample, wrench_youtube, .*, got 'nobody'"):
        texts_of("nobody", 10)
