"""Open the tokenizer of a model or of a folder, in one way for all, and train one from a corpus.

A document is text: control strings inside it are encoded as the characters they are. Those are all added tokens that
the tokenizer marks special, and also those in brackets (`<tool_call>`, `<|fim_prefix|>`, `[INST]`), which many
tokenizers don't mark. Other added tokens (a word, a run of blanks) are vocabulary and stay. What a chat template has
rendered needs the control tokens; it has an engine of its own, so that no setting of one can leak into the other.
"""

import hashlib
import json
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from raypipe.models.causal import open_model

FILE = "tokenizer.json"
LEARNT = "raypipe.json"
"""Beside a tokenizer of ours: what it was asked to be, for a small corpus may give fewer tokens."""
END_OF_TEXT = "<|endoftext|>"
_IN_BRACKETS = re.compile(r"<.+>|\[.+\]", re.DOTALL)


@dataclass(frozen=True)
class Vocabulary:
    """What turns text into token ids."""

    tokenizer: Any
    """The transformers tokenizer, what an exported model carries."""
    backend: Any
    """Its engine for documents: its defaults, but control strings stay text."""
    sha256: str
    """Of tokenizer.json."""
    size: int
    """The largest id + 1; ids may have gaps, so there can be fewer tokens."""
    end: int | None
    """Id of the token that ends a document, None if there is none."""
    rendered: Any = None
    """Its engine for what a chat template has rendered: control strings are control tokens."""


@lru_cache(maxsize=2)
def open_vocabulary(ref: str) -> Vocabulary:
    """The tokenizer behind a reference: a folder with tokenizer.json, or any model that `open_model` knows.

    Raises
    ------
    ValueError
        If there is none, or only a slow one.
    """
    folder = Path(os.path.expanduser(ref.removeprefix("file://")))
    if not (folder / FILE).is_file():
        folder = open_model(ref).folder
    if not (folder / FILE).is_file():
        raise ValueError(f"tokenizer must be a folder or model with {FILE}, got {ref!r} without one.")
    tokenizer = _fast_tokenizer(folder, ref)
    sha256 = hashlib.sha256((folder / FILE).read_bytes()).hexdigest()
    size = 1 + max(tokenizer.get_vocab().values(), default=-1)
    return Vocabulary(
        tokenizer,
        _engine(tokenizer, control_is_text=True),
        sha256,
        size,
        tokenizer.eos_token_id,
        _engine(tokenizer, control_is_text=False),
    )


def _fast_tokenizer(folder: Path, ref: str) -> Any:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
    if not tokenizer.is_fast:
        raise ValueError(f"tokenizer {ref!r} must be a fast one ({FILE}), got {type(tokenizer).__name__}.")
    return tokenizer


def _engine(tokenizer: Any, *, control_is_text: bool) -> Any:
    """A copy of the engine of a transformers tokenizer, which sets flags of its own engine at every call."""
    from tokenizers import Tokenizer

    settings = json.loads(tokenizer.backend_tokenizer.to_str())
    if control_is_text:
        for token in settings["added_tokens"]:
            token["special"] = token["special"] or _IN_BRACKETS.fullmatch(token["content"]) is not None
    engine = Tokenizer.from_str(json.dumps(settings))
    engine.encode_special_tokens = control_is_text  # text, where it is a special token's
    engine.no_truncation()
    engine.no_padding()
    return engine


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
    (folder / LEARNT).write_text(json.dumps({"vocabulary_size": vocabulary_size}), encoding="utf-8")


def learnt_size(folder: Path) -> int:
    """The size that the tokenizer of a folder was asked to have; of one that isn't ours, the size that it has."""
    try:
        return int(json.loads((folder / LEARNT).read_text(encoding="utf-8"))["vocabulary_size"])
    except (FileNotFoundError, KeyError):
        return open_vocabulary(str(folder)).size
