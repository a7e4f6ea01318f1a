"""A trained model as a transformers folder: safetensors, tokenizer, and a card that says where it comes from."""

import json
import tempfile
from pathlib import Path
from typing import Any

import torch

from raypipe.storage.folder import Folder
from raypipe.train.engines.optimiser import unique

LINEAGE = "raypipe.json"


def export_model(
    model: Any, tokenizer: Any, *, folder: Folder, lineage: dict[str, Any], title: str, dtype: str = "float32"
) -> None:
    """Write a transformers model, its tokenizer, README.md and raypipe.json to a folder at any URI."""
    plain = model.merge_and_unload() if hasattr(model, "merge_and_unload") else model
    plain = plain.to(getattr(torch, dtype))
    plain.config._attn_implementation = None  # whoever opens it has its own
    with tempfile.TemporaryDirectory(prefix="raypipe-export-") as local:
        plain.save_pretrained(local, safe_serialization=True)
        tokenizer.save_pretrained(local)
        (Path(local) / LINEAGE).write_text(json.dumps(lineage, indent=1))
        (Path(local) / "README.md").write_text(model_card(lineage, title=title))
        for path in sorted(Path(local).iterdir()):
            folder.write(path.name, path.read_bytes())


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
