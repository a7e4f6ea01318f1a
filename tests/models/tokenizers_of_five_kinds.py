"""Tokenizers of five kinds, small and made on the spot."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

WORDS = ["river stone bread window little green under over carry night morning paper say yes no"] * 4
LETTERS = ["Answer: A\nAnswer: B\nAnswer: C\nQuestion: which is it? A. red B. blue"] * 4


def byte_level(*, extra: tuple[str, ...] = ()) -> Any:
    """As GPT-2's: bytes, and an end of text that isn't added."""
    engine = Tokenizer(models.BPE())
    engine.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    engine.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=420, special_tokens=["<|end|>", "<|begin|>", *extra], show_progress=False,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    )  # fmt: skip
    engine.train_from_iterator(WORDS + LETTERS, trainer)
    return PreTrainedTokenizerFast(tokenizer_object=engine, eos_token="<|end|>")


def adds_end() -> Any:
    """Puts an end of text behind every text, as T5's does."""
    made = byte_level()
    made.backend_tokenizer.post_processor = processors.TemplateProcessing(
        single="$A <|end|>", special_tokens=[("<|end|>", 0)]
    )
    return made


def adds_begin_and_end() -> Any:
    """Puts a begin before and an end behind every text."""
    made = byte_level()
    made.backend_tokenizer.post_processor = processors.TemplateProcessing(
        single="<|begin|> $A <|end|>", special_tokens=[("<|begin|>", 1), ("<|end|>", 0)]
    )
    return made


def prefix_space() -> Any:
    """As Llama 2's: a blank before every text, bytes where there is no piece, a BOS."""
    engine = Tokenizer(models.BPE(byte_fallback=True, fuse_unk=True, unk_token="<unk>"))
    engine.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    engine.pre_tokenizer = pre_tokenizers.Split("▁", "merged_with_next")
    special = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256))]
    engine.train_from_iterator(
        WORDS + LETTERS, trainers.BpeTrainer(vocab_size=500, special_tokens=special, show_progress=False)
    )
    engine.pre_tokenizer = None
    engine.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    engine.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    return PreTrainedTokenizerFast(tokenizer_object=engine, bos_token="<s>", eos_token="</s>", unk_token="<unk>")


def word_piece() -> Any:
    """As BERT's: lower case, no blanks, [CLS] and [SEP] around every text."""
    engine = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    engine.normalizer = normalizers.BertNormalizer(lowercase=True)
    engine.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    engine.decoder = decoders.WordPiece()
    trainer = trainers.WordPieceTrainer(
        vocab_size=200, special_tokens=["[UNK]", "[CLS]", "[SEP]", "[PAD]"], show_progress=False
    )
    engine.train_from_iterator(WORDS + LETTERS, trainer)
    engine.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 1), ("[SEP]", 2)]
    )
    return PreTrainedTokenizerFast(tokenizer_object=engine, unk_token="[UNK]", cls_token="[CLS]", sep_token="[SEP]")


KINDS: dict[str, Callable[[], Any]] = {
    made.__name__: made for made in (byte_level, adds_end, adds_begin_and_end, prefix_space, word_piece)
}


def saved(name: str, folder: Path) -> str:
    """The folder of a tokenizer of a kind."""
    KINDS[name]().save_pretrained(folder)
    return str(folder)
