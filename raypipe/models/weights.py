"""Weights into a transformers model, and nothing else but them: what a file lacks would be drawn at random.

The one opening of weights: causal models, classifiers and encoders all come through here.
"""

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from raypipe.models.silence import in_silence
from raypipe.models.tensors import listed

BUFFERS = re.compile(r"rotary_emb\.inv_freq$|\.attn\.(masked_)?bias$|embeddings\.position_ids$")
"""What older files hold and every model computes by itself."""


def load_weights(
    kind: Any,
    folder: Path,
    *,
    ref: str,
    dtype: str,
    device: str = "cpu",
    new: Iterable[str] = (),
    unused: Iterable[str] = (),
    **changes: Any,
) -> Any:
    """A model of a transformers Auto class with the weights of a folder, in eval mode, in this dtype on this device.

    Keys that match `new` (regular expressions) may be missing: they are drawn anew. Those that match `unused` may be
    left over. `changes` are settings of its configuration.

    Raises
    ------
    ValueError
        If any other key is missing, left over or of another shape, or a weight isn't finite; with their names.
    """
    import torch

    with in_silence():
        model, found = kind.from_pretrained(
            folder,
            dtype=getattr(torch, dtype),
            trust_remote_code=False,
            use_safetensors=True,
            output_loading_info=True,
            ignore_mismatched_sizes=True,  # they are refused below, by name
            **changes,
        )
    check_loaded(found, where=f"model {ref!r}", new=new, unused=unused)
    model = model.to(device).eval()
    check_finite(model, where=f"model {ref!r}")
    return model


def check_loaded(found: dict[str, Any], *, where: str, new: Iterable[str] = (), unused: Iterable[str] = ()) -> None:
    """Refuse a model that wasn't loaded whole; `found` is what transformers says of the loading.

    Raises
    ------
    ValueError
        With the keys.
    """
    missing = _but(found["missing_keys"], new)
    left_over = _but(found["unexpected_keys"], [BUFFERS.pattern, *unused])
    other = [f"{name} {list(theirs)} for {list(ours)}" for name, theirs, ours in sorted(found["mismatched_keys"])]
    parts = [
        f"{len(names)} {what} ({listed(names)})"
        for what, names in (("missing", missing), ("of another shape", other), ("left over", left_over))
        if names
    ]
    if parts or found.get("error_msgs"):
        said = "; ".join([*parts, *found.get("error_msgs", [])])
        raise ValueError(f"{where} must have all weights of its architecture and no others, got {said}.")


def check_finite(model: Any, *, where: str) -> None:
    """Refuse a model with a weight that is NaN or infinite.

    Raises
    ------
    ValueError
        With the names of such weights.
    """
    import torch

    broken = [
        name
        for name, weight in model.state_dict().items()
        if weight.is_floating_point() and weight.numel() and not all(torch.isfinite(x) for x in torch.aminmax(weight))
    ]
    if broken:
        raise ValueError(f"{where} must have finite weights, got NaN or infinity in {listed(broken)}.")


def _but(names: Iterable[str], patterns: Iterable[str]) -> list[str]:
    known = [re.compile(pattern) for pattern in patterns]
    return sorted(name for name in names if not any(pattern.search(name) for pattern in known))
