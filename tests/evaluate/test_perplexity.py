"""Losses and bits per byte of documents."""

import numpy as np
import pytest
import torch

from raypipe.evaluate.perplexity import DocumentLosses, by_domain, document_losses
from raypipe.lm.decoder import Decoder
from raypipe.models.presets import config_of, new_model
from raypipe.models.tokenizer import open_vocabulary
from tests.models.tokenizers_of_five_kinds import saved

TEXTS = ["river stone bread window", "ünder " * 40, "say yes"]


@pytest.mark.parametrize("kind", ["byte_level", "prefix_space"])
def test_every_token_has_a_loss_and_long_texts_go_on_in_windows(tmp_path, kind):
    vocabulary = open_vocabulary(saved(kind, tmp_path))
    config = config_of("tiny", vocabulary_size=vocabulary.size, length=32, end=vocabulary.end)
    causal = new_model(config, seed=0, initialisation="normal").eval()
    begin = vocabulary.backend.encode("a").ids[0] if kind == "prefix_space" else vocabulary.end
    slow = []
    for text in TEXTS:
        ids = [begin, *vocabulary.backend.encode(text, add_special_tokens=False).ids]
        total = 0.0
        for start in range(0, len(ids) - 1, 31):
            window = torch.tensor([ids[start : start + 32]])
            with torch.no_grad():
                log_p = causal(input_ids=window).logits[0].double().log_softmax(-1)
            total -= float(log_p[:-1].gather(1, window[0, 1:, None]).sum())
        slow.append((total, len(ids) - 1))
    found = document_losses(Decoder(causal, max_tokens=32), vocabulary, TEXTS, max_tokens=32, budget=40)
    assert found.nll == pytest.approx([total for total, _ in slow], rel=1e-5)
    assert found.n_tokens.tolist() == [n for _, n in slow]
    assert found.n_bytes.tolist() == [len(text.encode()) for text in TEXTS]


def test_domains_are_ratios_of_sums_with_intervals_over_documents():
    rng = np.random.default_rng(0)
    tokens = rng.integers(10, 200, 400)
    found = DocumentLosses(tokens * (2 + rng.random(400)), tokens, 4 * tokens)
    table = by_domain(found, ["a", "b"] * 200)
    of = table["domains"]["a"]
    assert of["loss"]["mean"] == pytest.approx(found.nll[::2].sum() / tokens[::2].sum())
    assert of["bits_per_byte"]["mean"] == pytest.approx(of["loss"]["mean"] / 4 / np.log(2))
    assert of["loss"]["low"] < of["loss"]["mean"] < of["loss"]["high"]
    assert table["all"]["n"] == 400
    assert table["all"]["tokens"] == tokens.sum()
