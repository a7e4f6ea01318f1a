"""Pairs scored by a tiny random classifier, as transformers scores them one at a time."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoTokenizer, BertConfig, BertForSequenceClassification

from raypipe.retrieve import cross_encoder
from raypipe.retrieve.cross_encoder import CrossEncoder
from tests.embed.tiny_encoders import IDS, SIZES, TEXTS, tokenizer

PAIRS = [("a query", text) for text in TEXTS] + [("another, and a longer one of many words", "short"), ("x", "")]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("reranker")
    made = tokenizer(adds_special=True)
    made.save_pretrained(path)
    add_pairs(path)
    torch.manual_seed(0)
    config = BertConfig(**SIZES, **IDS, max_position_embeddings=64, num_labels=1, initializer_range=0.6)
    BertForSequenceClassification(config).eval().save_pretrained(path)
    return str(path)


def add_pairs(path: Path) -> None:
    """The tokenizer's way with two texts: <s> A </s> B </s>, the second of type 1."""
    settings = json.loads((path / "tokenizer.json").read_text())
    parts = [("SpecialToken", "<s>", 0), ("Sequence", "A", 0), ("SpecialToken", "</s>", 0), ("Sequence", "B", 1),
             ("SpecialToken", "</s>", 1)]  # fmt: skip
    settings["post_processor"]["pair"] = [{kind: {"id": name, "type_id": of}} for kind, name, of in parts]
    (path / "tokenizer.json").write_text(json.dumps(settings))


@pytest.mark.parametrize("budget", [8192, 40])
def test_scores_are_those_of_transformers_pair_by_pair(
    folder: str, budget: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cross_encoder, "TOKEN_BUDGET", budget)
    found = CrossEncoder(folder, max_tokens=60)(PAIRS)
    model = BertForSequenceClassification.from_pretrained(folder).eval()
    theirs = AutoTokenizer.from_pretrained(folder)
    for pair, score in zip(PAIRS, found, strict=True):
        asked = ([pair[0]], [pair[1]])  # as lists: an empty second text alone would be taken for none
        inputs = theirs(*asked, truncation=True, max_length=60, return_tensors="pt", return_token_type_ids=True)
        with torch.inference_mode():
            assert float(score) == pytest.approx(float(model(**inputs).logits[0, 0]), abs=1e-4)
    assert np.ptp(found) > 0.01  # it does tell them apart


def test_a_long_pair_is_cut_and_no_pair_gives_no_score(folder: str) -> None:
    scorer = CrossEncoder(folder, max_tokens=20)
    assert np.isfinite(scorer([("long " * 40, "longer " * 90)])).all()
    assert scorer([]).shape == (0,)


def test_bad_models_are_refused(folder: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="max_tokens must be above 3 and at most 64, the positions"):
        CrossEncoder(folder, max_tokens=65)
    for file in Path(folder).iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    config = json.loads((tmp_path / "config.json").read_text())
    config["id2label"], config["label2id"] = {"0": "a", "1": "b"}, {"a": 0, "b": 1}
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(ValueError, match=r"must have one output \(num_labels\), got 2"):
        CrossEncoder(str(tmp_path))
    (tmp_path / "config.json").write_text((Path(folder) / "config.json").read_text())
    (tmp_path / "tokenizer.json").unlink()
    with pytest.raises(ValueError, match="tokenizer"):
        CrossEncoder(str(tmp_path))
