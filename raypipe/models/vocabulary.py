"""Open the tokenizer of a model or of a folder, and train one from a corpus."""

import hashlib
import os
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from raypipe.models.causal import open_model

FILE = "tokenizer.json"
END_OF_TEXT = "<|endoftext|>"


@dataclass(frozen=True)
class Vocabulary:
    """What turns text into token ids."""

    tokenizer: Any
    """The transformers tokenizer, what an exported model carries."""
    backend: Any
    """Its engine: its defaults, but control strings inside a document stay text."""
    sha256: str
    """Of tokenizer.json."""
    size: int
    """Ids are below it."""
    end: int | None
    """Id of the token that ends a document, None if there is none."""


@lru_cache(maxsize=2)
def open_vocabulary(ref: str) -> Vocabulary:
    """The tokenizer behind a reference: a folder with tokenizer.json, or any model that `open_model` knows.

    Raises
    ------
    ValueError
        If there is none, or only a slow one.
    """
    from transformers import AutoTokenizer

    folder = Path(os.path.expanduser(ref.removeprefix("file://")))
    if not (folder / FILE).is_file():
        folder = open_model(ref).folder
    if not (folder / FILE).is_file():
        raise ValueError(f"tokenizer must be a folder or model with {FILE}, got {ref!r} without one.")
    tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
    backend = tokenizer.backend_tokenizer
    backend.encode_special_tokens = True
    backend.no_truncation()
    backend.no_padding()
    sha256 = hashlib.sha256((folder / FILE).read_bytes()).hexdigest()
    return Vocabulary(tokenizer, backend, sha256, len(tokenizer), tokenizer.eos_token_id)


def train_tokenizer(texts: Iterable[str], *, vocabulary_size: int, folder: Path) -> None:
    """Learn a byte-level BPE vocabulary and write it as a transformers tokenizer; the same texts give the same file.

    Raises
    ------
    ValueError
        If the size doesn't hold the 256 bytes and the end of text.
    """
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    if vocabulary_size < 257:
        raise ValueError(f"vocabulary_size must be at least 257 (all bytes and {END_OF_TEXT}), got {vocabulary_size}.")
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary_size,
        special_tokens=[END_OF_TEXT],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token=END_OF_TEXT).save_pretrained(folder)
