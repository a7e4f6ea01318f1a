"""A GGUF file de-quantised once to a folder of float32 safetensors, with whatever the file says of the model.

transformers reads the weights and most of the settings. It leaves out how the rotary embedding is scaled, which
llama.cpp keeps in a tensor of factors (Llama 3.1 and 3.2) or in keys of their own: carried over here, or refused.
"""

import hashlib
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np

from raypipe.models.silence import in_silence
from raypipe.models.weights import check_loaded

FACTORS = "rope_freqs.weight"
UNREAD = ("attention.sliding_window", "attn_logit_softcapping", "final_logit_softcapping", "logit_scale",
          "embedding_scale", "residual_scale", "attention.scale", "attention.clamp_kqv", "expert_count")  # fmt: skip
"""Settings that would change every loss and that no architecture known here is built with."""
_VERSION = 2  # of what is written; another one is de-quantised anew


def dequantised(gguf: Path, *, cache: Path) -> Path:
    """The folder of float32 safetensors made from a GGUF file, made now if it isn't there.

    Raises
    ------
    ValueError
        If the file holds something that would get lost.
    """
    stat = gguf.stat()
    stamp = f"{gguf.resolve()} {stat.st_size} {stat.st_mtime_ns} {_VERSION}"
    folder = cache / f"{gguf.stem}-{hashlib.sha256(stamp.encode()).hexdigest()[:16]}"
    if folder.is_dir():
        return folder
    partial = folder.with_name(f"{folder.name}.{os.getpid()}.partial")
    with in_silence():
        _write(gguf, partial)
    try:
        partial.rename(folder)
    except OSError:  # another process was faster
        shutil.rmtree(partial)
    return folder


def _write(gguf: Path, folder: Path) -> None:
    import torch
    from gguf import GGUFReader
    from transformers import AutoModelForCausalLM, AutoTokenizer

    reader, where = GGUFReader(gguf), f"GGUF file {str(gguf)!r}"
    model, found = AutoModelForCausalLM.from_pretrained(
        gguf.parent, gguf_file=gguf.name, dtype=torch.float32, output_loading_info=True
    )
    check_loaded(found, where=where)
    config = model.config
    check_settings(reader, where=where)
    check_size(reader, model, where=where)
    if (rope := rope_of(reader, config, where=where)) is not None:
        config.rope_parameters = rope
    plain = AutoModelForCausalLM.from_config(config)  # a fresh model forgets that it was quantised
    plain.load_state_dict(model.state_dict())
    plain.config.quantization_config = None
    del plain.config.quantization_config
    plain.save_pretrained(folder)
    AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name).save_pretrained(folder)


def check_settings(reader: Any, *, where: str) -> None:
    """Refuse a file with a setting that changes losses and that the model isn't built with.

    Raises
    ------
    ValueError
        With the key and its value.
    """
    for name in UNREAD:
        if value := setting(reader, name):
            raise ValueError(f"{where} must be of a model without {name}, got {value}; take its safetensors instead.")


def check_size(reader: Any, model: Any, *, where: str) -> None:
    """Refuse a file with more or fewer weights than the model that was built from it.

    Raises
    ------
    ValueError
        With both numbers.
    """
    held = sum(int(np.prod(tensor.shape)) for tensor in reader.tensors if tensor.name != FACTORS)
    built = sum(weight.numel() for weight in {id(weight): weight for weight in model.parameters()}.values())
    if held != built:
        raise ValueError(
            f"{where} must hold what the model is built from, got {held:,} weights for {built:,} of "
            f"{model.config.model_type!r}; take its safetensors instead."
        )


def rope_of(reader: Any, config: Any, *, where: str) -> dict[str, Any] | None:
    """The scaling of the rotary embedding as transformers writes it, None where there is none.

    Raises
    ------
    ValueError
        If it is one that can't be carried over.
    """
    plain = config.rope_parameters or {}
    base = {"rope_theta": float(plain.get("rope_theta", setting(reader, "rope.freq_base") or 10_000.0))}
    factors = next((np.array(tensor.data, np.float64) for tensor in reader.tensors if tensor.name == FACTORS), None)
    kind = setting(reader, "rope.scaling.type")
    linear = setting(reader, "rope.scaling.factor") or setting(reader, "rope.scale_linear") or 1.0
    if factors is not None and not np.all(factors == 1):
        if found := llama3_of(factors, theta=base["rope_theta"]):
            return base | found
        raise ValueError(f"{where} scales its rotary embedding by {FACTORS} in a way that isn't Llama 3's; {_REMEDY}")
    if kind in (None, "none", "linear") and linear != 1:
        return base | {"rope_type": "linear", "factor": float(linear)}
    if kind not in (None, "none", "linear"):
        raise ValueError(f"{where} scales its rotary embedding by {kind!r}, which isn't carried over; {_REMEDY}")
    return None


_REMEDY = "take the model's safetensors instead."


def llama3_of(factors: np.ndarray, *, theta: float) -> dict[str, Any] | None:
    """The settings of Llama 3's scaling that give these divisors of the frequencies [d / 2]; None if none do.

    The file holds the divisors alone: the bounds 1 and 4 are those of all Llama 3 models, the factor is the largest
    divisor, and the length that they are relative to is the power of two that reproduces the divisors.
    """
    for length in [8192, *(1 << power for power in range(5, 21))]:
        settings = {
            "rope_type": "llama3",
            "factor": float(factors.max()),
            "low_freq_factor": 1.0,
            "high_freq_factor": 4.0,
            "original_max_position_embeddings": length,
        }
        if np.allclose(_llama3_divisors(len(factors), theta, float(factors.max()), length), factors, rtol=1e-4):
            return settings
    return None


def _llama3_divisors(n: int, theta: float, factor: float, length: int) -> np.ndarray:
    wavelengths = 2 * np.pi * theta ** (np.arange(n) / n)
    share = np.clip((length / wavelengths - 1) / 3, 0, 1)  # of the plain frequency: 0 beyond `length`, 1 below a 4th
    divisors: np.ndarray = 1 / ((1 - share) / factor + share)
    return divisors


def setting(reader: Any, name: str) -> Any:
    """What the file says under ARCHITECTURE.name, None if nothing."""
    architecture = reader.fields["general.architecture"].contents()
    field = reader.fields.get(f"{architecture}.{name}")
    return None if field is None else field.contents()
