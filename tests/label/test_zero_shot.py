"""Classes by the likelihood of their names: as a slow pass over each text says, less what the prompt alone says."""

import numpy as np
import pytest
import torch

from raypipe.label.zero_shot import NOTHING, PROMPT, name_likelihoods
from raypipe.models.causal import open_model
from raypipe.models.tokenizer import open_vocabulary
from tests.score.conftest import save_tiny

TEXTS, NAMES = ["river stone", "a longer text than the others"], ("games", "e-mail")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("model")
    save_tiny(path)
    return str(path)


def slow(folder: str, text: str, name: str) -> float:
    model = open_model(folder).weights(dtype="float32", device="cpu")
    backend, context = open_vocabulary(folder).backend, PROMPT.replace("{text}", text)
    n, ids = len(backend.encode(context).ids), backend.encode(f"{context} {name}").ids
    with torch.no_grad():
        log_p = model(input_ids=torch.tensor([ids])).logits[0].double().log_softmax(-1)
    return sum(float(log_p[at - 1, ids[at]]) for at in range(n, len(ids)))


def test_names_are_as_much_likelier_as_a_slow_pass_says(folder: str) -> None:
    found = name_likelihoods(TEXTS, NAMES, model=folder, max_tokens=64)
    expected = [[slow(folder, text, name) - slow(folder, NOTHING, name) for name in NAMES] for text in TEXTS]
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


def test_a_text_that_is_too_long_and_a_prompt_without_text_are_refused(folder: str) -> None:
    with pytest.raises(ValueError, match=r"must fit into max_tokens \(64\), one has"):
        name_likelihoods(["w" * 90], NAMES, model=folder, max_tokens=64)
    with pytest.raises(ValueError, match=r"prompt must hold \{text\} once"):
        name_likelihoods(TEXTS, NAMES, model=folder, prompt="about")
