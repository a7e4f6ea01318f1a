"""Tiny models of every architecture, each with tokenizer and files of sentence-transformers; the same anywhere."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from zlib import crc32

import numpy as np
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors
from transformers import (
    AutoModel,
    BertConfig,
    LlamaConfig,
    ModernBertConfig,
    MPNetConfig,
    PreTrainedTokenizerFast,
    Qwen2Config,
    RobertaConfig,
    XLMRobertaConfig,
)

PACKAGE = "sentence_transformers.models"
MODES = {"mean": "pooling_mode_mean_tokens", "cls": "pooling_mode_cls_token", "last": "pooling_mode_lasttoken"}
TEXTS = [
    "a", "The cat sat on the mat.", "ünïcode, 日本 and more", "  blanks around  ", "one two three four five six seven",
    "The Mat Sat On The Cat.", "a long one: " + "words and words and more of them " * 4,
]  # fmt: skip
SPECIAL = {"<s>": 0, "<pad>": 1, "</s>": 2}
SIZES = {
    "vocab_size": 260, "hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 3, "num_attention_heads": 2,
}  # fmt: skip
IDS = {"pad_token_id": 1, "bos_token_id": 0, "eos_token_id": 2}
CLS = {"cls_token_id": 0, "sep_token_id": 2}


@dataclass(frozen=True)
class Tiny:
    """An architecture and how it is read out."""

    config: Any
    pooling: str
    normalise: bool = True
    max_tokens: int = 64
    prompts: dict[str, str] = field(default_factory=dict)
    adds_special: bool = True
    lowers_case: bool = False


TINY = {
    "bert": Tiny(BertConfig(**SIZES, **IDS, max_position_embeddings=64), "mean", lowers_case=True),
    "roberta": Tiny(RobertaConfig(**SIZES, **IDS, max_position_embeddings=66), "cls", normalise=False),
    "mpnet": Tiny(MPNetConfig(**SIZES, **IDS, max_position_embeddings=150), "mean", max_tokens=148),
    "modernbert": Tiny(
        ModernBertConfig(**SIZES, **IDS, **CLS, max_position_embeddings=150, local_attention=16),
        "mean", normalise=False, max_tokens=150,
    ),
    "xlm-roberta": Tiny(
        XLMRobertaConfig(**SIZES, **IDS, max_position_embeddings=80), "mean", max_tokens=40,
        prompts={"query": "query: ", "passage": "passage: "},
    ),
    "qwen2": Tiny(
        Qwen2Config(**SIZES, **IDS, num_key_value_heads=1, max_position_embeddings=128), "last",
        prompts={"query": "Instruct: find it\nQuery: "}, adds_special=False,
    ),
    "llama both ways": Tiny(
        LlamaConfig(**SIZES, **IDS, num_key_value_heads=1, max_position_embeddings=128, is_causal=False), "mean"
    ),
}  # fmt: skip


def save(folder: Path, name: str) -> Any:
    """The model, with weights that follow from their names alone; returned as well."""
    tiny = TINY[name]
    tokenizer(adds_special=tiny.adds_special).save_pretrained(folder)
    model = AutoModel.from_config(tiny.config, dtype=torch.float32).eval()
    with torch.no_grad():
        for key, weight in model.named_parameters():
            drawn = np.random.default_rng(crc32(key.encode())).normal(size=tuple(weight.shape)).astype(np.float32)
            is_norm = "norm" in key.lower() and key.endswith("weight")
            weight.copy_(torch.from_numpy(1 + 0.2 * drawn if is_norm else 0.4 * drawn))
    model.save_pretrained(folder)
    say(folder, tiny)
    return model


def say(folder: Path, tiny: Tiny) -> None:
    """The files of sentence-transformers."""
    names = ["Transformer", "Pooling", *(["Normalize"] if tiny.normalise else [])]
    paths = ["", "1_Pooling", "2_Normalize"]
    modules = [
        {"idx": at, "name": str(at), "path": path, "type": f"{PACKAGE}.{name}"}
        for at, (name, path) in enumerate(zip(names, paths, strict=False))
    ]
    put(folder, "modules.json", modules)
    put(folder, "1_Pooling/config.json", {"word_embedding_dimension": 16, MODES[tiny.pooling]: True})
    put(folder, "sentence_bert_config.json", {"max_seq_length": tiny.max_tokens, "do_lower_case": tiny.lowers_case})
    put(folder, "config_sentence_transformers.json", {"prompts": tiny.prompts, "default_prompt_name": None})


def put(folder: Path, name: str, content: Any) -> None:
    (folder / name).parent.mkdir(exist_ok=True)
    (folder / name).write_text(json.dumps(content))


def tokenizer(*, adds_special: bool) -> PreTrainedTokenizerFast:
    """A token a byte, between <s> and </s> where asked."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    backend = Tokenizer(models.BPE(vocab={**SPECIAL, **{sign: 3 + at for at, sign in enumerate(alphabet)}}, merges=[]))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    backend.add_special_tokens([*SPECIAL])
    if adds_special:
        around = [*SPECIAL.items()]
        backend.post_processor = processors.TemplateProcessing(single="<s> $A </s>", special_tokens=around)
    return PreTrainedTokenizerFast(
        tokenizer_object=backend, pad_token="<pad>", bos_token="<s>", eos_token="</s>", cls_token="<s>",
        sep_token="</s>", model_max_length=512,
    )  # fmt: skip
