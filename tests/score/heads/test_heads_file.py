import json

import pytest

from raypipe import sample
from raypipe.score.heads.heads_file import WeakHeads, chosen_heads, parse_heads

RECORD = {
    "model": {"sha256": "a" * 64, "ref": "m"},
    "chosen": [[3, 1], [2, 0]],
    "causal_check": {"passed": True, "rules": []},
}


def test_heads_of_the_same_weights_are_read_in_order():
    record = parse_heads(json.dumps(RECORD).encode(), where="h.json")
    assert chosen_heads(record, sha256="a" * 64, allow_weak=False, where="h.json") == ((3, 1), (2, 0))


def test_heads_of_other_weights_are_refused():
    with pytest.raises(
        ValueError, match=r"of weights aaaaaaaaaaaa \(m\), the model's are bbbbbbbbbbbb; .* --heads detect"
    ):
        chosen_heads(RECORD, sha256="b" * 64, allow_weak=True, where="h.json")


def test_weak_heads_are_refused_with_what_failed_unless_allowed():
    rule = {"rule": "rise over draws", "value": 1.2, "bar": 3.0, "passed": False}
    weak = {**RECORD, "causal_check": {"passed": False, "rules": [rule]}}
    with pytest.raises(WeakHeads, match=r"rise over draws must be 3.00, got 1.20.*--allow-weak-heads"):
        chosen_heads(weak, sha256="a" * 64, allow_weak=False, where="h.json")
    assert chosen_heads(weak, sha256="a" * 64, allow_weak=True, where="h.json")


@pytest.mark.parametrize("content", [b"", b"[]", b'{"chosen": 3}', b"\xff"])
def test_something_else_than_a_heads_file_is_refused(content):
    with pytest.raises(ValueError, match="must be a heads file"):
        parse_heads(content, where="h.json")


def test_the_embedded_heads_passed_their_check():
    record = parse_heads(sample.heads_file().read_bytes(), where="the embedded heads file")
    heads = chosen_heads(record, sha256=record["model"]["sha256"], allow_weak=False, where="the embedded heads file")
    assert len(heads) == 14
    assert (record["model"]["n_layers"], record["model"]["n_heads"]) == (30, 9)
    assert len(record["causal_check"]["draws"]) >= 5
