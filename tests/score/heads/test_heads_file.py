import json

import pytest

from raypipe import sample
from raypipe.score.heads.heads_file import WeakHeads, chosen_heads, parse_heads

EFFECT = {"loss": 1.0, "accuracy": 0.9, "prose_loss": 3.0}
RULE = {"rule": "rise over draws", "value": 4.0, "bar": 3.0, "passed": True}
CHECK = {"passed": True, "rules": [RULE], "intact": EFFECT, "chosen": EFFECT, "draws": [EFFECT] * 5}
RECORD = {
    "model": {"sha256": "a" * 64, "ref": "m", "n_layers": 4, "n_heads": 2},
    "chosen": [[3, 1], [2, 0]],
    "causal_check": CHECK,
    "retrieval_scores": [[0.0, 0.5]] * 4,
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
    weak = {**RECORD, "causal_check": {**CHECK, "passed": False, "rules": [rule]}}
    with pytest.raises(WeakHeads, match=r"rise over draws must be 3.00, got 1.20.*--allow-weak-heads"):
        chosen_heads(weak, sha256="a" * 64, allow_weak=False, where="h.json")
    assert chosen_heads(weak, sha256="a" * 64, allow_weak=True, where="h.json")


@pytest.mark.parametrize("content", [b"", b"[]", b'{"chosen": 3}', b"\xff"])
def test_something_else_than_a_heads_file_is_refused(content):
    with pytest.raises(ValueError, match="must be a heads file"):
        parse_heads(content, where="h.json")


@pytest.mark.parametrize(
    ("heads", "message"),
    [
        ([], "h.json must name at least one head"),
        ([[99, 0]], r"h.json: a head must be within 4 layers x 2 heads, got \(99, 0\)"),
        ([[3, 1], [0, 2]], r"h.json: a head must be within 4 layers x 2 heads, got \(0, 2\)"),
        ([[0, -1]], "a head must be within"),
        ([[0.0, 1]], "a head must be within"),
        ([[3, 1], [2, 0], [3, 1]], r"h.json must name a head once, got \(3, 1\) twice"),
    ],
)
def test_heads_that_the_model_does_not_have_are_refused(heads, message):
    with pytest.raises(ValueError, match=message):
        parse_heads(json.dumps({**RECORD, "chosen": heads}).encode(), where="h.json")


@pytest.mark.parametrize(
    "changes",
    [
        {"causal_check": {"passed": True}},
        {"causal_check": {**CHECK, "rules": []}},
        {"causal_check": {**CHECK, "rules": [{**RULE, "passed": False}]}},
        {"causal_check": {**CHECK, "intact": {"loss": 1.0}}},
        {"retrieval_scores": [[0.0, 0.5]] * 3},
        {"retrieval_scores": None},
        {"model": {"sha256": "a" * 64}},
    ],
)
def test_a_record_that_a_report_could_not_show_is_refused(changes):
    with pytest.raises(ValueError, match="must be a heads file"):
        parse_heads(json.dumps({**RECORD, **changes}).encode(), where="h.json")


def test_heads_that_were_never_checked_need_leave():
    unchecked = {name: value for name, value in RECORD.items() if name != "causal_check"}
    record = parse_heads(json.dumps(unchecked).encode(), where="h.json")
    with pytest.raises(WeakHeads, match="there is none on record"):
        chosen_heads(record, sha256="a" * 64, allow_weak=False, where="h.json")


def test_the_embedded_heads_passed_their_check():
    record = parse_heads(sample.heads_file().read_bytes(), where="the embedded heads file")
    heads = chosen_heads(record, sha256=record["model"]["sha256"], allow_weak=False, where="the embedded heads file")
    assert len(heads) == 14
    assert (record["model"]["n_layers"], record["model"]["n_heads"]) == (30, 9)
    assert len(record["causal_check"]["draws"]) >= 5
