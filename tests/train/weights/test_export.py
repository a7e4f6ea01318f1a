"""Exported models in plain transformers."""

import pytest
import torch

from raypipe.models.presets import config_of
from raypipe.models.tokenizer import open_vocabulary, train_tokenizer
from raypipe.storage.folder import Folder
from raypipe.train.weights.export import export_model, with_pad_token

TEXTS = ["red", "a longer text about green", "blue blue"]


@pytest.fixture(scope="module")
def own(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tokenizer")
    train_tokenizer(["red green blue text about longer " * 3], vocabulary_size=300, folder=folder)
    return open_vocabulary(str(folder)).tokenizer


def ending(tokenizer):
    """A tokenizer that puts the end of text behind each text, and knows an unknown token."""
    from tokenizers.processors import TemplateProcessing
    from transformers import PreTrainedTokenizerFast

    other = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer.backend_tokenizer, eos_token=tokenizer.eos_token, unk_token="!"
    )
    end = (other.eos_token, other.eos_token_id)
    other.backend_tokenizer.post_processor = TemplateProcessing(single=f"$A {end[0]}", special_tokens=[end])
    return other


@pytest.mark.parametrize("change", [lambda tokenizer: tokenizer, ending])
def test_an_exported_class_model_answers_a_batch_as_it_answers_one_by_one(own, tmp_path, change):
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    tokenizer = change(own)
    config = config_of("tiny", vocabulary_size=len(tokenizer), length=64, end=tokenizer.eos_token_id)
    config.update({"num_labels": 3})
    torch.manual_seed(0)
    made = AutoModelForSequenceClassification.from_config(config, dtype=torch.float32)
    export_model(made, tokenizer, folder=Folder(str(tmp_path)), lineage={}, title="classes")
    model = AutoModelForSequenceClassification.from_pretrained(tmp_path).eval()
    opened = AutoTokenizer.from_pretrained(tmp_path)
    with torch.no_grad():
        together = model(**opened(TEXTS, padding=True, return_tensors="pt")).logits
        alone = torch.cat([model(**opened(text, return_tensors="pt")).logits for text in TEXTS])
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=1e-5)
    assert own.pad_token is None  # the one that training uses is as it was


def test_a_pad_token_that_is_there_stays(own):
    from transformers import PreTrainedTokenizerFast

    padded = PreTrainedTokenizerFast(tokenizer_object=own.backend_tokenizer, pad_token="<|endoftext|>")
    assert with_pad_token(padded) is padded


def test_a_tokenizer_without_special_tokens_stays_as_it_is(own):
    from transformers import PreTrainedTokenizerFast

    bare = PreTrainedTokenizerFast(tokenizer_object=own.backend_tokenizer)
    assert with_pad_token(bare).pad_token is None
