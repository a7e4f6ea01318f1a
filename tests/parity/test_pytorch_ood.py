"""Familiarity by logits beside pytorch-ood; skips itself where that isn't, or finds no torchvision that fits torch.

With STORE=1 what it says is stored for tests without it.
"""

import json
import os
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pytest
import torch

from raypipe.classify.open_set import SCORERS

pytestmark = pytest.mark.parity
STORED = Path(__file__).parents[1] / "classify" / "stored" / "pytorch_ood.json"
try:
    from pytorch_ood.detector import EnergyBased, MaxLogit, MaxSoftmax
except (ImportError, RuntimeError) as error:  # torchvision of another build ends in a RuntimeError
    pytest.skip(f"pytorch-ood can't be imported: {error}", allow_module_level=True)
THEIRS = {"max-logit": MaxLogit, "max-probability": MaxSoftmax, "energy": EnergyBased}


def test_what_is_stored_is_what_pytorch_ood_says() -> None:
    logits = np.round(np.random.default_rng(0).normal(size=(40, 6)) * 3, 2)
    said = {name: of.score(torch.tensor(logits)).tolist() for name, of in THEIRS.items()}
    found = {"versions": {"pytorch-ood": version("pytorch-ood")}, "logits": logits.tolist(), **said}
    if os.environ.get("STORE"):
        STORED.write_text(json.dumps(found) + "\n")
    stored = json.loads(STORED.read_text())
    assert found["logits"] == stored["logits"]
    for name in SCORERS:
        np.testing.assert_allclose(found[name], stored[name], rtol=1e-12)
