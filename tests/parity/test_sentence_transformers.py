"""A finetuned encoder opened by sentence-transformers has the vectors of embed_corpus; needs that package."""

import json
from pathlib import Path

import numpy as np
import pytest

from jobs.finetune import main
from raypipe.embed.texts import embed
from raypipe.settings.nested import changed
from tests.embed.tiny_encoders import TEXTS, TINY
from tests.jobs.test_finetune_embedding import config_of

pytestmark = pytest.mark.parity
sentence_transformers = pytest.importorskip("sentence_transformers")
peft = pytest.importorskip("peft")


@pytest.mark.parametrize("kind", TINY)
@pytest.mark.parametrize("rank", [0, 2])
def test_a_finetuned_encoder_has_the_same_vectors_there(tmp_path: Path, kind: str, rank: int) -> None:
    config = changed(config_of(tmp_path, kind, steps=3), lora_rank=rank, heldout_share=0.0)
    assert main(config) == 0
    folder = tmp_path / "run/finetune/model"
    theirs = sentence_transformers.SentenceTransformer(str(folder), device="cpu")
    before = sentence_transformers.SentenceTransformer(str(tmp_path / "model"), device="cpu")
    prompts = json.loads((folder / "config_sentence_transformers.json").read_text())["prompts"]
    for name in ("query", "document"):
        found = np.stack(embed(TEXTS, model=str(folder), template=prompts[name] + "{text}")["embedding"].to_numpy())
        expected = theirs.encode(TEXTS, prompt_name=name)
        np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-4)
        assert np.abs(expected - before.encode(TEXTS, prompt=prompts[name])).max() > 1e-3  # it has learnt something
