"""A trained model as a transformers folder: safetensors, tokenizer, and a card that says where it comes from."""

import copy
import json
import tempfile
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch

from raypipe.models.silence import in_silence
from raypipe.storage.folder import Folder
from raypipe.train.engines.optimiser import unique

LINEAGE = "raypipe.json"


def export_model(
    model: Any, tokenizer: Any, *, folder: Folder, lineage: dict[str, Any], title: str, dtype: str = "float32",
    beside: Mapping[str, bytes] = MappingProxyType({}),
) -> None:  # fmt: skip
    """Write a transformers model, its tokenizer, README.md, raypipe.json and what is to stand beside, to any URI.

    A tokenizer without a pad token gets one of its own special tokens for it, and a classifier's configuration its id:
    without it transformers refuses a batch of several texts. A language model's doesn't: it would keep the embedding of
    that token from learning if somebody trains on.
    """
    plain = model.merge_and_unload() if hasattr(model, "merge_and_unload") else model
    plain = plain.to(getattr(torch, dtype))
    tokenizer = with_pad_token(tokenizer)
    if hasattr(plain, "score"):
        plain.config.pad_token_id = tokenizer.pad_token_id
    plain.config._attn_implementation = None  # whoever opens it has its own
    with tempfile.TemporaryDirectory(prefix="raypipe-export-") as local:
        with in_silence():
            plain.save_pretrained(local, safe_serialization=True)
        tokenizer.save_pretrained(local)
        (Path(local) / LINEAGE).write_text(json.dumps(lineage, indent=1))
        (Path(local) / "README.md").write_text(model_card(lineage, title=title))
        for path in sorted(Path(local).iterdir()):
            folder.write(path.name, path.read_bytes())
    for name, content in beside.items():
        folder.write(name, content)


def with_pad_token(tokenizer: Any) -> Any:
    """The tokenizer, or a copy whose pad token is a special token of its own that no encoded text ends with.

    A classifier of transformers reads the last token that isn't the pad token: where texts end with the end-of-text
    token, that can't be the pad token too. Without any such token the tokenizer stays as it is.
    """
    if tokenizer.pad_token_id is not None:
        return tokenizer
    last = tokenizer("a")["input_ids"][-1]
    candidates = (tokenizer.eos_token, tokenizer.unk_token, tokenizer.bos_token)
    usable = [token for token in candidates if token is not None and tokenizer.convert_tokens_to_ids(token) != last]
    if not usable:
        return tokenizer
    padded = copy.deepcopy(tokenizer)
    padded.pad_token = usable[0]
    return padded


TASK = "task:"
"""Before the names of what a task has learnt beside weights, where an export is given both."""


def with_task(weights: dict[str, torch.Tensor], state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Weights, and a task's state, for an export."""
    return weights | {TASK + name: value for name, value in state.items()}


def of_task(weights: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The task's state among what an export is given."""
    return {name.removeprefix(TASK): value for name, value in weights.items() if name.startswith(TASK)}


def set_weights(module: torch.nn.Module, weights: dict[str, torch.Tensor]) -> None:
    """Put gathered weights into a module that was made like the trained one.

    Raises
    ------
    KeyError
        If a trained weight is missing.
    """
    with torch.no_grad():
        for name, weight in unique(module.named_parameters()):
            if weight.requires_grad:
                weight.copy_(weights[name])


def model_card(lineage: dict[str, Any], *, title: str) -> str:
    """README.md of a model: what it was made from, and how."""
    rows = "\n".join(f"| {name} | `{_short(value)}` |" for name, value in lineage.items() if value is not None)
    return (
        f"---\nlibrary_name: transformers\ntags: [raypipe]\n---\n\n# {title}\n\n"
        f"Trained with raypipe. All of this is in `{LINEAGE}` too.\n\n| | |\n|---|---|\n{rows}\n"
    )


def _short(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value)
    return text.replace("|", "\\|").replace("`", "'").replace("\n", " ")
