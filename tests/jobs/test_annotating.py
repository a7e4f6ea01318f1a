"""The model that answers a concept's questions: its answers are those of a slow pass, what is too long is told."""

from pathlib import Path

import numpy as np
import pytest
import torch

from jobs.parts.annotating import NOTHING, AskedModel, key_of
from raypipe.models.causal import open_model
from raypipe.models.tokenizer import open_vocabulary
from tests.score.conftest import save_tiny

TEXTS = ["river stone", "a longer text than the others", "w" * 90]
PROMPT = "{text}\n{question}\nAnswer:"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model")
    save_tiny(folder)
    return folder


def asked(folder: Path) -> AskedModel:
    texts = {key_of(text): text for text in [*TEXTS, NOTHING]}
    return AskedModel(texts, str(folder), PROMPT, 64, "float32", "cpu")


def slow(folder: Path, context: str, answer: str) -> float:
    model = open_model(str(folder)).weights(dtype="float32", device="cpu")
    backend = open_vocabulary(str(folder)).backend
    n, ids = len(backend.encode(context).ids), backend.encode(f"{context} {answer}").ids
    with torch.no_grad():
        log_p = model(input_ids=torch.tensor([ids])).logits[0].double().log_softmax(-1)
    return sum(float(log_p[at - 1, ids[at]]) for at in range(n, len(ids)))


def test_an_answer_is_how_much_likelier_yes_is_than_no(folder: Path) -> None:
    found = asked(folder)("Is it so?", np.array([key_of(text) for text in [*TEXTS[:2], NOTHING]]))
    contexts = [PROMPT.replace("{text}", text).replace("{question}", "Is it so?") for text in [*TEXTS[:2], NOTHING]]
    expected = [slow(folder, one, "yes") - slow(folder, one, "no") for one in contexts]
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


def test_texts_that_do_not_fit_with_the_longest_question_are_told(folder: Path) -> None:
    assert set(asked(folder).too_long(["Is it so?", "Q?"])) == {key_of(TEXTS[2])}


def test_a_question_without_room_for_a_text_is_refused(folder: Path) -> None:
    with pytest.raises(ValueError, match=r"a question must leave room for a text in max_tokens \(64\)"):
        asked(folder).too_long(["Is it so? " * 20])


def test_another_prompt_is_another_version(folder: Path) -> None:
    one, other = asked(folder), asked(folder)
    other.prompt = PROMPT + " "
    assert one.version != other.version
