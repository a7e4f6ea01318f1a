"""Random heads in place of retrieval heads: a control that no score is made with by mistake."""

import json
from collections import Counter
from pathlib import Path

import pytest

from jobs.find_heads import Config, main
from raypipe import sample
from raypipe.score.heads.heads_file import WeakHeads, chosen_heads, parse_heads
from raypipe.settings.nested import built


@pytest.fixture
def written(tmp_path):
    config = built(Config, output=str(tmp_path), name="random-heads", random_of=str(sample.heads_file()))
    assert main(config) == 0
    return (Path(tmp_path) / "heads/random-heads.json").read_bytes()


def test_random_heads_are_as_many_of_the_same_layers_and_none_of_those_found(written):
    record, found = parse_heads(written, where="there"), json.loads(sample.heads_file().read_bytes())
    assert Counter(layer for layer, _ in record["chosen"]) == Counter(layer for layer, _ in found["chosen"])
    assert not {tuple(head) for head in record["chosen"]} & {tuple(head) for head in found["chosen"]}
    assert record["random_of"] == found["chosen"]


def test_a_score_is_made_with_them_only_where_that_is_asked_for(written):
    record = parse_heads(written, where="there")
    sha256 = record["model"]["sha256"]
    with pytest.raises(WeakHeads, match="there is none on record"):
        chosen_heads(record, sha256=sha256, allow_weak=False, where="there")
    assert len(chosen_heads(record, sha256=sha256, allow_weak=True, where="there")) == len(record["chosen"])


def test_they_need_a_name_and_heads_to_be_drawn_beside(tmp_path):
    with pytest.raises(ValueError, match="random heads must have a name of their own; give --name"):
        main(built(Config, output=str(tmp_path / "run"), random_of=str(sample.heads_file())))
    (tmp_path / "none.json").write_text("{}")
    with pytest.raises(ValueError, match="must be a heads file"):
        main(built(Config, output=str(tmp_path / "run"), name="a", random_of=str(tmp_path / "none.json")))
    assert not (tmp_path / "run/run.json").exists()
