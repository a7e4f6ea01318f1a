"""Entailment by a tiny random NLI model is what transformers says of each pair; other models are refused."""

from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoTokenizer, BertConfig, BertForSequenceClassification

from raypipe.retrieve.entailment import Entailment
from tests.embed.tiny_encoders import IDS, SIZES, TEXTS, tokenizer
from tests.retrieve.test_cross_encoder import add_pairs

LABELS = {0: "CONTRADICTION", 1: "NEUTRAL", 2: "ENTAILMENT"}


def made(path: Path, labels: dict[int, str]) -> str:
    tokens = tokenizer(adds_special=True)
    tokens.save_pretrained(path)
    add_pairs(path)
    torch.manual_seed(0)
    names = {name: number for number, name in labels.items()}
    config = BertConfig(
        **SIZES, **IDS, max_position_embeddings=64, id2label=labels, label2id=names, initializer_range=0.6
    )
    BertForSequenceClassification(config).eval().save_pretrained(path)
    return str(path)


def test_probabilities_are_those_of_transformers_pair_by_pair(tmp_path: Path) -> None:
    folder, names = made(tmp_path, LABELS), ("games", "mail")
    found = Entailment(folder, max_tokens=60).probabilities(TEXTS[:3], names)
    model, theirs = BertForSequenceClassification.from_pretrained(folder).eval(), AutoTokenizer.from_pretrained(folder)
    for row, text in enumerate(TEXTS[:3]):
        for at, name in enumerate(names):
            pair = ([text], [f"This text is about {name}."])
            inputs = theirs(*pair, truncation=True, max_length=60, return_tensors="pt", return_token_type_ids=True)
            with torch.inference_mode():
                expected = model(**inputs).logits.softmax(-1)[0, 2]
            assert found[row, at] == pytest.approx(float(expected), abs=1e-5)
    assert np.ptp(found) > 1e-3
    assert Entailment(folder).probabilities([], names).shape == (0, 2)


def test_it_reads_each_text_once_a_class_where_label_vectors_read_it_once(tmp_path: Path, monkeypatch) -> None:
    folder, read = made(tmp_path, LABELS), list[tuple[str, str]]()
    whole = Entailment.outputs
    monkeypatch.setattr(Entailment, "outputs", lambda self, pairs: read.extend(pairs) or whole(self, pairs))
    for names in (("games", "mail"), ("games", "mail", "sound", "images")):
        read.clear()
        Entailment(folder, max_tokens=60).probabilities(TEXTS[:3], names)
        assert len(read) == len(set(read)) == 3 * len(names)  # an encoder: 3 texts and the keywords


@pytest.mark.parametrize("labels", [{0: "no", 1: "yes"}, {0: "entailment", 1: "entails"}])
def test_a_model_without_one_label_of_entailment_is_refused(tmp_path: Path, labels: dict[int, str]) -> None:
    with pytest.raises(ValueError, match="must have one label that begins with 'entail' and another"):
        Entailment(made(tmp_path, labels))


def test_a_hypothesis_without_the_name_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"hypothesis must hold \{name\} once"):
        Entailment(made(tmp_path, LABELS)).probabilities(["a"], ["b"], hypothesis="It is so.")
