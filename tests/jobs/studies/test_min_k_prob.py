"""The study min-k-prob in its quick settings: what its claims speak of is measured."""

from pathlib import Path

import pytest

from jobs.studies.min_k_prob import FORGET, STUDY, _passages, trial
from raypipe.storage.folder import Folder


def test_every_metric_that_a_claim_speaks_of_is_given(tmp_path: Path) -> None:
    settings = {**STUDY.settings, **STUDY.arms[FORGET], **STUDY.quick, "passes": 1}
    found = trial(settings, 0, Folder(str(tmp_path)))
    for claim in STUDY.claims:
        assert {claim.metric, claim.over_metric or claim.metric} <= found.keys()
    assert all(0 <= value <= 1 for value in found.values())


def test_parts_are_of_one_source_and_apart() -> None:
    settings = {**STUDY.settings, **STUDY.quick}
    texts, parts = _passages(settings, 3)
    rows = [row for name, of in parts.items() if name != "forgotten" for row in of]
    assert sorted(rows) == list(range(len(texts))) == list(range(len(set(texts))))
    assert {len(text.split()) for text in texts} == {settings["words"]}
    assert set(parts["forgotten"]) < set(parts["members"])
    assert _passages(settings, 3)[0] == texts != _passages(settings, 4)[0]
    with pytest.raises(ValueError, match="passages of 32 words must hold"):
        _passages({**settings, "n": 10_000}, 0)
