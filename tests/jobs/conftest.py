"""What tests of several jobs start from."""

import pytest

from raypipe.models.tokenizer import train_tokenizer


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    """A folder of 270 tokens."""
    folder = tmp_path_factory.mktemp("tokenizer")
    train_tokenizer(["some words to learn a few pairs from, some more words"], vocabulary_size=270, folder=folder)
    return str(folder)
