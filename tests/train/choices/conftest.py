"""A byte-level tokenizer that knows the letters A, B and C behind a space, and a tiny model for it."""

import pytest

from raypipe.models.presets import config_of, new_model
from raypipe.models.tokenizer import open_vocabulary, train_tokenizer
from tests.train.choices.questions import WORDS


@pytest.fixture(scope="package")
def vocabulary(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tokenizer")
    train_tokenizer([WORDS, "Answer: A\nAnswer: B\nAnswer: C\n"] * 3, vocabulary_size=360, folder=folder)
    return open_vocabulary(str(folder))


@pytest.fixture(scope="package")
def causal(vocabulary):
    config = config_of("tiny", vocabulary_size=vocabulary.size, length=256, end=vocabulary.end)
    return new_model(config, seed=1, initialisation="normal").eval()
