"""Models of named shapes with random weights, and documents of a corpus's lengths, made on the spot."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from transformers import AutoModelForCausalLM, LlamaConfig

from raypipe import sample
from raypipe.lm.heads import Head
from raypipe.score.heads.heads_file import parse_heads

VOCABULARY = 49_152


@dataclass(frozen=True)
class BenchmarkShape:
    """Sizes of a Llama-shaped model with tied embeddings."""

    layers: int
    hidden: int
    heads: int
    kv_heads: int
    ffn: int
    vocabulary: int = VOCABULARY
    """SmolLM2's."""

    def config(self, *, max_tokens: int, spread: float = 0.02) -> LlamaConfig:
        """Its transformers configuration; `spread` is the deviation of random weights."""
        return LlamaConfig(
            vocab_size=self.vocabulary,
            hidden_size=self.hidden,
            intermediate_size=self.ffn,
            num_hidden_layers=self.layers,
            num_attention_heads=self.heads,
            num_key_value_heads=self.kv_heads,
            max_position_embeddings=max_tokens,
            initializer_range=spread,
            tie_word_embeddings=True,
            bos_token_id=None,
            eos_token_id=None,
        )

    def neutralised(self) -> tuple[Head, ...]:
        """5 % of its heads, spread evenly from the middle layer up."""
        count = -(-self.layers * self.heads // 20)
        first = self.layers // 2
        return tuple((first + at * (self.layers - first) // count, at * 7 % self.heads) for at in range(count))

    def flops_per_token(self, *, passes: float, head_passes: int) -> float:
        """Operations of the matrix products of a token, attention left out: 2 for each weight it meets."""
        size = self.hidden // self.heads
        layer = self.hidden * (2 * self.heads + 2 * self.kv_heads) * size + 3 * self.hidden * self.ffn
        return 2.0 * (passes * self.layers * layer + head_passes * self.hidden * self.vocabulary)


SHAPES = {
    "135m": BenchmarkShape(30, 576, 9, 3, 1536),
    "360m": BenchmarkShape(32, 960, 15, 5, 2560),
    "1.3b": BenchmarkShape(24, 2048, 32, 32, 5504),
    "1.7b": BenchmarkShape(24, 2048, 32, 32, 8192),
    "tiny": BenchmarkShape(2, 64, 4, 2, 128, vocabulary=2048),
}


def heads_of(name: str) -> tuple[Head, ...]:
    """The heads that a shape's masked variant neutralises: SmolLM2's own, as shipped, for 135m."""
    if name != "135m":
        return SHAPES[name].neutralised()
    record = parse_heads(sample.heads_file().read_bytes(), where="the embedded heads file")
    return tuple((int(layer), int(head)) for layer, head in record["chosen"])


def make_model(name: str, folder: Path, *, max_tokens: int, dtype: torch.dtype, seed: int = 0) -> None:
    """Save a random model of a shape, and a tokenizer that gives each word `tN` the id N, so that lengths are exact."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    save_model(name, folder, max_tokens=max_tokens, dtype=dtype, seed=seed)
    backend = Tokenizer(models.WordLevel({f"t{at}": at for at in range(VOCABULARY)}, unk_token="t0"))
    backend.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    PreTrainedTokenizerFast(tokenizer_object=backend, unk_token="t0").save_pretrained(folder)


def save_model(
    name: str, folder: Path, *, max_tokens: int, dtype: torch.dtype, seed: int = 0, spread: float = 0.02,
    device: str = "cpu",
) -> None:  # fmt: skip
    """Save a random model of a shape, drawn on a device: a GPU draws a billion numbers in no time."""
    torch.manual_seed(seed)
    config = SHAPES[name].config(max_tokens=max_tokens, spread=spread)
    with torch.device(device):
        model = AutoModelForCausalLM.from_config(config, dtype=dtype)
    model.save_pretrained(folder)


def make_documents(
    n: int, *, median: float, sigma: float, cap: int, seed: int, vocabulary: int = VOCABULARY
) -> list[np.ndarray]:
    """Random documents of log-normal lengths, at least 2 and at most `cap` tokens."""
    rng = np.random.default_rng(seed)
    lengths = np.clip(rng.lognormal(np.log(median), sigma, n), 2, cap).astype(int)
    return [rng.integers(0, vocabulary, length) for length in lengths]


def as_text(document: np.ndarray) -> str:
    """The text that the benchmark's tokenizer turns into these ids."""
    return " ".join(f"t{token}" for token in document)
