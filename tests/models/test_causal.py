"""Model folders that could run code are refused; what is left out of the tests of lm/ about opening a model."""

import json
import os
import pickle
from pathlib import Path

import pytest

from raypipe.models.causal import open_model


class Bomb:
    """Unpickling it leaves a mark."""

    def __init__(self, mark: Path) -> None:
        self.mark = str(mark)

    def __reduce__(self) -> tuple:
        return os.mkdir, (self.mark,)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "model").mkdir()
    (tmp_path / "model/config.json").write_text(
        json.dumps({"model_type": "llama", "architectures": ["LlamaForCausalLM"]})
    )
    return tmp_path / "model"


@pytest.mark.parametrize("name", ["pytorch_model.bin", "model.pt", "model.pth", "last.ckpt"])
def test_a_folder_with_pickles_only_is_refused_and_nothing_is_unpickled(folder: Path, name: str) -> None:
    mark = folder.parent / "exploded"
    (folder / name).write_bytes(pickle.dumps(Bomb(mark)))
    with pytest.raises(ValueError, match=rf"got only pickled weights \({name}\), which could run code"):
        open_model(str(folder))
    assert not mark.exists()


def test_a_folder_without_weights_or_config_is_refused(folder: Path) -> None:
    with pytest.raises(ValueError, match="must hold safetensors, got no weights"):
        open_model(str(folder))
    (folder / "config.json").unlink()
    with pytest.raises(ValueError, match=r"must hold config\.json"):
        open_model(str(folder))


@pytest.mark.parametrize("ref", ["/nothing/here", "./nothing", "s3://bucket/model", "a/b/c", "word"])
def test_a_reference_to_nothing_is_refused_at_once(ref: str) -> None:
    with pytest.raises(ValueError, match="model must be a folder, org/name"):
        open_model(ref)


def test_code_in_a_model_folder_is_never_run(folder: Path) -> None:
    mark = folder.parent / "exploded"
    (folder / "model.safetensors").write_bytes(b"")
    (folder / "code.py").write_text(f"import os\nos.mkdir({str(mark)!r})\n")
    config = {"model_type": "custom", "auto_map": {"AutoConfig": "code.Config", "AutoModelForCausalLM": "code.Model"}}
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(ValueError, match=r"trust_remote_code|custom"):
        open_model(str(folder)).config()
    assert not mark.exists()
