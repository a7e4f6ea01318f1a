"""Copying and fetching from the context."""

import numpy as np
import pytest
import torch

from raypipe.evaluate.in_context import copies, facts, recalled
from raypipe.lm.decoder import Decoder
from raypipe.models.presets import config_of, new_model
from raypipe.models.tokenizer import open_vocabulary
from tests.models.tokenizers_of_five_kinds import saved


@pytest.fixture(scope="module")
def vocabulary(tmp_path_factory):
    return open_vocabulary(saved("byte_level", tmp_path_factory.mktemp("tokenizer")))


def test_the_second_half_of_a_copy_is_asked_for(vocabulary):
    one, other = copies(vocabulary, n=2, n_tokens=6, seed=0)
    assert one.ids[0] == vocabulary.end
    assert one.ids[1:7].tolist() == one.ids[7:].tolist() != other.ids[7:].tolist()
    assert np.flatnonzero(one.is_asked).tolist() == list(range(8, 13))
    assert copies(vocabulary, n=1, n_tokens=6, seed=0)[0].ids.tolist() == one.ids.tolist()


def test_facts_are_asked_at_every_depth(vocabulary):
    found = facts(vocabulary, n=4, n_lines=8, seed=0)
    for number, one in enumerate(found):
        text = vocabulary.tokenizer.decode(one.ids)
        lines = text.split("\n")
        assert len(lines) == 9
        asked = lines[-1].removesuffix(text[-6:])
        assert [at for at, line in enumerate(lines[:-1]) if line.startswith(asked)] == [2 * number + 1]
        assert vocabulary.tokenizer.decode(one.ids[one.is_asked]).strip() == lines[2 * number + 1][-6:-1]


def test_what_is_recalled_is_what_a_slow_pass_finds_likeliest(vocabulary):
    config = config_of("tiny", vocabulary_size=vocabulary.size, length=256, end=vocabulary.end)
    causal = new_model(config, seed=0, initialisation="normal").eval()
    items = copies(vocabulary, n=3, n_tokens=20, seed=1) + facts(vocabulary, n=2, n_lines=2, seed=1)
    slow = []
    for item in items:
        with torch.no_grad():
            said = causal(input_ids=torch.from_numpy(item.ids)[None]).logits[0].argmax(-1).numpy()
        slow.append(np.mean(said[:-1][item.is_asked[1:]] == item.ids[1:][item.is_asked[1:]]))
    assert recalled(Decoder(causal, max_tokens=256), items, budget=128) == pytest.approx(slow)
    assert len(recalled(Decoder(new_model(config, seed=0, initialisation="normal"), max_tokens=8), [], budget=8)) == 0
