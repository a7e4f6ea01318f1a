"""What safetensors files say of their tensors, read from headers alone: names, shapes, digests, what is amiss.

No weight is read but for a digest, and nothing heavy is imported, so a wrong folder is refused in milliseconds.
"""

import hashlib
import json
import re
import struct
from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

WEIGHTS, INDEX = "model.safetensors", "model.safetensors.index.json"
WRAPPERS = {
    "module.": "DistributedDataParallel or DeepSpeed",
    "_orig_mod.": "torch.compile",
    "base_model.model.": "PEFT",
    "_fsdp_wrapped_module.": "FSDP",
    "_forward_module.": "Lightning Fabric",
}
"""Prefixes that wrapped models leave before every key."""
EMBEDDINGS = ("embed_tokens.weight", "wte.weight", "word_embeddings.weight", "tok_embeddings.weight")
QUANTISED = re.compile(r"\.(qweight|qzeros|g_idx|absmax|quant_map|SCB|weight_packed|weight_scale|weight_scale_inv)$")
EXPONENTS = {"F32": (np.uint32, 0x7F800000), "F16": (np.uint16, 0x7C00), "BF16": (np.uint16, 0x7F80)}
"""Of numbers in safetensors files: the integer of their size, and the bits that are all set in NaN and infinity."""
_LAYER = re.compile(r"(?:^|\.)(?:layers|layer|h|blocks)\.(\d+)\.")
_SHOWN = 3


def weight_files(folder: Path) -> list[Path]:
    """The files that hold a model's weights, sorted: model.safetensors, else those of its index, else all.

    Raises
    ------
    ValueError
        If the index names a file that isn't there.
    """
    if (folder / WEIGHTS).is_file():
        return [folder / WEIGHTS]
    if (folder / INDEX).is_file():
        files = sorted({folder / name for name in json.loads((folder / INDEX).read_text())["weight_map"].values()})
        if missing := [file.name for file in files if not file.is_file()]:
            raise ValueError(f"{folder} must hold the files that {INDEX} names, but {listed(missing)} isn't there.")
        return files
    return sorted(folder.glob("*.safetensors"))


def header_of(file: BinaryIO, path: Path) -> tuple[dict[str, Any], int]:
    """What a safetensors file says of its tensors, and where the first one begins; its size must be what it says.

    Raises
    ------
    ValueError
        If it isn't whole.
    """
    size = path.stat().st_size
    try:
        (n_bytes,) = struct.unpack("<Q", file.read(8))
        header = json.loads(file.read(n_bytes)) if n_bytes <= size else {}
        header.pop("__metadata__", None)
        whole = 8 + n_bytes + max((tensor["data_offsets"][1] for tensor in header.values()), default=0)
    except (struct.error, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{path} must be a safetensors file, but its header can't be read: {error}.") from error
    if size != whole:
        raise ValueError(f"{path} must have the {whole:,} bytes that its header says, got {size:,}; copy it again.")
    return header, 8 + n_bytes


def tensors_of(files: Iterable[Path]) -> dict[str, dict[str, Any]]:
    """Name -> dtype and shape of every tensor."""
    found: dict[str, dict[str, Any]] = {}
    for path in files:
        with path.open("rb") as file:
            found |= header_of(file, path)[0]
    return found


def hash_tensors(files: list[Path], *, where: str) -> str:
    """SHA-256 over all tensors of safetensors files; how they are spread over files doesn't matter.

    Raises
    ------
    ValueError
        If a file isn't whole, or a number in it is NaN or infinite.
    """
    digests: dict[str, str] = {}
    broken = set()
    for path in files:
        with path.open("rb") as file:
            header, begins = header_of(file, path)
            for name, tensor in sorted(header.items(), key=lambda item: item[1]["data_offsets"]):
                begin, end = tensor["data_offsets"]
                file.seek(begins + begin)
                digest = hashlib.sha256(f"{name} {tensor['dtype']} {tensor['shape']}".encode())
                for start in range(begin, end, 1 << 24):
                    piece = file.read(min(1 << 24, end - start))
                    digest.update(piece)
                    broken |= set() if _is_finite(piece, tensor["dtype"]) else {name}
                digests[name] = digest.hexdigest()
    if broken:
        raise ValueError(f"{where} must have finite weights, got NaN or infinity in {listed(sorted(broken))}.")
    return hashlib.sha256("\n".join(digests[name] for name in sorted(digests)).encode()).hexdigest()


def _is_finite(piece: bytes, dtype: str) -> bool:
    """Whether no exponent of these numbers is all ones; of other types than the usual ones nothing is said."""
    if dtype not in EXPONENTS:
        return True
    kind, mask = EXPONENTS[dtype]
    return not np.any((np.frombuffer(piece, kind) & kind(mask)) == mask)


def check_quantised(config: Mapping[str, Any], names: Iterable[str], *, where: str) -> None:
    """Refuse weights that are quantised: they would have to be multiplied by kernels of their own.

    Raises
    ------
    ValueError
        With the method.
    """
    settings = config.get("quantization_config") or {}
    method = settings.get("quant_method", "an unknown method") if settings else ""
    if not method and (packed := [name for name in names if QUANTISED.search(name)]):
        method = f"some method (it has {listed(packed)})"
    if method:
        raise ValueError(
            f"{where} must have plain weights, got ones quantised by {method}; take the model that they were made "
            "from, or a GGUF file of it."
        )


def check_keys(names: Iterable[str], config: Mapping[str, Any], *, where: str) -> None:
    """Refuse files whose keys can't be those of the model in `config`, as far as names tell without building it.

    Raises
    ------
    ValueError
        With the wrapper whose prefix they have, or the layers that are missing or too many.
    """
    names = list(names)
    if prefix := wrapper_of(names):
        left_by = " and ".join(dict.fromkeys(name for part, name in WRAPPERS.items() if part in prefix))
        raise ValueError(
            f"{where} must have the keys of its architecture, but all {len(names)} begin with {prefix!r}, which "
            f"{left_by} leaves there; save the model inside the wrapper, or take the prefix off."
        )
    if not any(name.endswith(EMBEDDINGS) for name in names):
        raise ValueError(f"{where} has no embedding among its {len(names)} weights ({listed(names)}).")
    _check_layers(names, config.get("num_hidden_layers"), where)


def _check_layers(names: list[str], n_layers: int | None, where: str) -> None:
    suffixes: dict[str, set[int]] = defaultdict(set)
    for name in names:
        if found := _LAYER.search(name):
            suffixes[f"{name[: found.start(1)]}{{}}{name[found.end(1) :]}"].add(int(found[1]))
    here = set().union(*suffixes.values())
    if n_layers is None or not here:
        return
    if missing := sorted(set(range(n_layers)) - here):
        keys = [key.format(at) for at in missing for key in suffixes]
        raise ValueError(
            f"{where} must have weights for all {n_layers} layers, but {len(keys)} are missing: {listed(keys)}."
        )
    if beyond := [key.format(at) for key, layers in suffixes.items() for at in sorted(layers) if at >= n_layers]:
        raise ValueError(f"{where} must have {n_layers} layers, got weights of more: {listed(beyond)}.")


def wrapper_of(names: list[str]) -> str:
    """The prefix that wrappers of a model left before every key; "" if there is none."""
    prefix = ""
    while names and (found := [part for part in WRAPPERS if all(name.startswith(prefix + part) for name in names)]):
        prefix += found[0]
    return prefix


def largest_id(tokenizer: bytes) -> tuple[int, str]:
    """The largest id of a tokenizer.json, and its token; (-1, "") of one without any."""
    settings = json.loads(tokenizer)
    vocabulary = settings["model"].get("vocab") or {}
    is_list = isinstance(vocabulary, list)  # of a Unigram model, with scores
    entries = [(row[0], at) for at, row in enumerate(vocabulary)] if is_list else list(vocabulary.items())
    added = ((token["content"], token["id"]) for token in settings.get("added_tokens") or [])
    return max(((at, token) for token, at in (*entries, *added)), default=(-1, ""))


def listed(names: Iterable[str]) -> str:
    """The first few names, and how many more there are."""
    names = list(names)
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more
