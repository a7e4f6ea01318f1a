"""What the chaos benchmark scores, and how two of its runs are compared."""

import json
import random
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from raypipe.models.causal import open_model

DOCUMENTS_A_SHARD, SHARDS_A_FILE = 12, 20
WORDS = [a + b + c for a in "bdfgklmnprst" for b in "aeiou" for c in ("n", "r", "st", "lo", "mi")]


def make_inputs(home: Path, *, shards: int, seed: int) -> None:
    """Write corpus, tokenizer, model and heads."""
    rng = random.Random(seed)
    n_sources = -(-shards // SHARDS_A_FILE)
    (home / "corpus").mkdir()
    texts: list[str] = []
    for number in range(n_sources):
        rows = [" ".join(rng.choices(WORDS, k=rng.randint(8, 90))) for _ in range(DOCUMENTS_A_SHARD * SHARDS_A_FILE)]
        lines = "".join(json.dumps({"text": text}) + "\n" for text in rows)
        (home / f"corpus/part-{number:03d}.jsonl").write_text(lines)
        texts += rows
    make_model(home / "model", texts, seed=seed)
    (home / "heads.json").write_text(json.dumps(heads_of(home / "model")))


def heads_of(folder: Path) -> dict[str, Any]:
    """A record of heads for that model that were never checked: what is tried is the runner, not the score."""
    sizes = {"n_layers": 2, "n_heads": 4}
    return {
        "model": {"sha256": open_model(str(folder)).sha256(), **sizes},
        "chosen": [[1, 0], [1, 2]],
        "retrieval_scores": [[0.0] * 4, [1.0, 0.0, 1.0, 0.0]],
    }


def make_model(folder: Path, texts: list[str], *, seed: int) -> None:
    """Save a Llama of two layers with random weights, and a byte-level BPE tokenizer of 512 tokens."""
    import torch
    from tokenizers import ByteLevelBPETokenizer
    from transformers import AutoModelForCausalLM, LlamaConfig, PreTrainedTokenizerFast

    trained = ByteLevelBPETokenizer()
    trained.train_from_iterator(texts, vocab_size=512, show_progress=False)
    PreTrainedTokenizerFast(tokenizer_object=trained._tokenizer).save_pretrained(folder)
    shape = LlamaConfig(
        vocab_size=512,
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=512,
    )
    torch.manual_seed(seed)
    AutoModelForCausalLM.from_config(shape).save_pretrained(folder)


def size_of_shard(corpus: Path) -> int:
    """Bytes of a shard, so that each file gives SHARDS_A_FILE of them."""
    return min(path.stat().st_size for path in corpus.iterdir()) // SHARDS_A_FILE


def contents(run: Path) -> dict[str, Any]:
    """Every file of a run folder but progress: tables of scores without footers' metadata, None for the others."""
    return {
        str(path.relative_to(run)): pq.read_table(path).replace_schema_metadata(None)
        if path.suffix == ".parquet"
        else None
        for path in sorted(run.rglob("*"))
        if path.is_file() and path.parent.name != "progress"
    }


def differences(calm: dict[str, Any], other: dict[str, Any]) -> list[str]:
    """What a run has too little, too much, or different, file by file."""
    found = [f"{name} is missing" for name in calm.keys() - other.keys()]
    found += [f"{name} is extra" for name in other.keys() - calm.keys()]
    for name in calm.keys() & other.keys():
        if calm[name] is not None and not same_bytes(calm[name], other[name]):
            found.append(f"{name} differs")
    return sorted(found)


def same_bytes(one: Any, other: Any) -> bool:
    """Whether two tables have the same rows in the same order, scores to the last bit (a NaN equals none)."""
    return bool(one.equals(other))
